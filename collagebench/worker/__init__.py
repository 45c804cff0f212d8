"""The worker process: a model behind the Open Inference Protocol, and the slowness that is injected into it."""

import os

# gRPC reads these when it starts. Its own log would be noise on a user's terminal; its fork handlers are not wanted,
# since workers are forked before gRPC starts.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
