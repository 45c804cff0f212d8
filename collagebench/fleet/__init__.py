"""Where workers run: each fleet yields connected workers and takes them down again."""

from collagebench.worker.spec import ModelFile, WorkerSpec

__all__ = ["ModelFile", "WorkerSpec"]
