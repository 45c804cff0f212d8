"""collagebench: measure redundancy schemes for neural-network inference side by side."""

import os

__version__ = "0.1.0"

# From 1.29 on, ONNX Runtime sends usage data over the network unless it is told not to: from a thread of its own, which
# would disturb both what is measured and the workers' fork, and without the user having asked for it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
