"""What travels between client and worker besides the Open Inference Protocol itself.

The protocol (version 2, over gRPC) lets a request and a response carry named parameters, which a server or client that
does not know them ignores. Ours are:

    request     collagebench_mode        floor, add or scale (absent: nothing is injected)
                collagebench_amount      the straggler model's draw: seconds, or a factor for scale
    response    collagebench_queue_s     waiting in the worker before service began
                collagebench_compute_s   inference
                collagebench_injected_s  slowness added to it
                collagebench_service_s   compute + injected

All are measured by the worker's own clock; only differences travel, so the clocks of two hosts are never compared.
"""

from __future__ import annotations

SERVICE = "inference.GRPCInferenceService"

INPUT = "image"
OUTPUT = "logits"

MODE = "collagebench_mode"
AMOUNT = "collagebench_amount"
QUEUE = "collagebench_queue_s"
COMPUTE = "collagebench_compute_s"
INJECTED = "collagebench_injected_s"
SERVICE_TIME = "collagebench_service_s"

MAX_MESSAGE_BYTES = 64 << 20
"""Room for a batch of large images; gRPC's own limit of 4 MiB is one 1024x1024 collage."""

MESSAGE_SIZES = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]
