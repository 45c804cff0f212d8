"""How good and how fast models are: measured on the ONNX files themselves, as workers would run them, without torch."""
