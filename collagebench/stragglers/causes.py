"""The natural causes of slowness by name; of its own, so that a forkserver can read it without importing NumPy.

NumPy starts threads unless it is told before it is imported that it must not, and a process with threads cannot fork.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["stop", "corunner", "throttle", "traffic"]
NATURAL: tuple[Kind, ...] = get_args(Kind)
