"""Experiments that are interrupted before anything was measured, and the message of an interruption."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from collagebench.config import Config, SchemeConfig
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.errors import Interrupted
from collagebench.interrupts import as_ctrl_c


class _Endless(dict[tuple[str, int], float]):
    """Measured inference times; looking one up sends the signal and then blocks."""

    def __init__(self, sign: signal.Signals) -> None:
        super().__init__()
        self.sign = sign

    def get(self, key: tuple[str, int], default: Any = None) -> Any:
        os.kill(os.getpid(), self.sign)
        threading.Event().wait(60)
        pytest.fail("nobody heard the signal")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_takes_long_before_the_first_record_ends_at_once(tmp_path: Path, sign: signal.Signals) -> None:
    """A signal before the first measurement ends the experiment at once, and no run directory is left."""
    config = Config((SchemeConfig("none", "none"),), requests=20, runs=1)
    with pytest.raises(Interrupted, match="before anything was measured"):
        experiment.simulate(config, tmp_path / "r", Progress(), measured=_Endless(sign))
    assert not (tmp_path / "r").exists()


def test_what_caught_a_signal_says_itself_what_is_kept() -> None:
    """If interrupted work raises its own Interrupted, that message is kept, such as where the checkpoint is."""

    @as_ctrl_c()
    def training() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; f.pt holds what was learnt") from None

    with pytest.raises(Interrupted, match=r"^interrupted; f.pt holds what was learnt$"):
        training()
