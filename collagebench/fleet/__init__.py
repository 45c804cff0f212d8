"""Where workers run: each fleet yields connected workers and takes them down again."""

from collagebench.fleet.where import CANNOT, FLEETS, LOCAL, Kind, Where
from collagebench.worker.spec import Disturbance, ModelFile, WorkerSpec

__all__ = ["CANNOT", "FLEETS", "LOCAL", "Disturbance", "Kind", "ModelFile", "Where", "WorkerSpec"]
