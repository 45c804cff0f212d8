"""Accuracy and latency of models, measured on the ONNX files as workers run them, without torch."""
