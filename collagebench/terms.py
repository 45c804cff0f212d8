"""Words and limits that schemes, models, records and commands have in common."""

from __future__ import annotations

ROLES = ("single", "coded", "backup", "collage", "parity")
"""The roles of models and of the workers that serve them, in the order in which tables show them."""
TRAINED = tuple(role for role in ROLES if role != "coded")
"""Roles with a network of their own; a coded model is the single's, with another input."""
HEADS = ("grid", "detection")
"""How a collage answers: with the logits of each cell, or with boxes."""
CODES = ("addition", "concatenation")
"""How a parity combines images: as their sum, or side by side."""
SOURCES = ("own", "replica", "hedge", "resent", "collage", "parity", "coded", "backup", "default")
"""Where the answer to a request can come from."""
MOST_PIXELS = 16384
"""The most pixels along one side of resized images."""
