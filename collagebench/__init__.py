"""collagebench: measure redundancy schemes for neural-network inference side by side."""

import os

__version__ = "0.1.0"

# From 1.29 on, ONNX Runtime sends usage data over the network by default, without asking the user. Its thread would
# also disturb the measurements and the workers' fork.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
