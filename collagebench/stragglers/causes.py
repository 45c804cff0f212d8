"""Natural causes of slowness, and loads of a co-runner: names that a forkserver can import without NumPy.

NumPy starts threads unless the environment forbids it before the import, and a process with threads cannot fork safely.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["stop", "corunner", "throttle", "traffic"]
NATURAL: tuple[Kind, ...] = get_args(Kind)
Load = Literal["cpu", "cache", "memory"]
LOADS: tuple[Load, ...] = get_args(Load)
