"""Where workers run: each fleet yields connected workers and takes them down again."""

from collagebench.worker.spec import Disturbance, ModelFile, WorkerSpec

__all__ = ["Disturbance", "ModelFile", "WorkerSpec"]
