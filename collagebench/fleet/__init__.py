"""Where workers run: each kind of fleet starts or reaches its workers, connects to them, and stops them again."""

from collagebench.fleet.where import CANNOT, FLEETS, LOCAL, Kind, Where
from collagebench.worker.spec import Disturbance, ModelFile, WorkerSpec

__all__ = ["CANNOT", "FLEETS", "LOCAL", "Disturbance", "Kind", "ModelFile", "Where", "WorkerSpec"]
