"""Encoders and decoders, pure NumPy."""
