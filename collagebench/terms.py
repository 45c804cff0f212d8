"""Words that schemes, models, records and commands have in common."""

from __future__ import annotations

ROLES = ("single", "coded", "backup", "collage", "parity")
"""The roles of models and of the workers that serve them, in the order in which tables show them."""
TRAINED = tuple(role for role in ROLES if role != "coded")
"""Roles with a network of their own; a coded model is the single's, with another input."""
SOURCES = ("own", "replica", "hedge", "resent", "collage", "parity", "coded", "backup", "default")
"""Where the answer to a request can come from."""
