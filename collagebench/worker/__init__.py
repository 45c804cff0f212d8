"""The worker process: a model behind the Open Inference Protocol, and the slowness that is injected into it."""

import os

# Libraries read these when they are loaded or started.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own log would be noise on a user's terminal
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # workers are forked before gRPC starts
