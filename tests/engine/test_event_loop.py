"""The loop that measurements run on: its result, its errors, and a Ctrl-C at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from collagebench.engine import event_loop
from collagebench.engine.event_loop import SWITCH_INTERVAL, complete
from collagebench.errors import Interrupted


def test_it_returns_what_the_coroutine_returns() -> None:
    """The result comes back; meanwhile threads give way sooner, and afterwards as before."""
    before = sys.getswitchinterval()

    async def main() -> float:
        return sys.getswitchinterval()

    assert complete(main()) == pytest.approx(SWITCH_INTERVAL)
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_it_tidy_up(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM cancel it; a second one does not cut short what it does then; handlers are put back."""
    before = signal.getsignal(number)
    tidied = []

    async def main() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)
            tidied.append(True)

    with pytest.raises(Interrupted):
        complete(main())
    assert tidied
    assert signal.getsignal(number) == before


def test_an_interruption_before_it_begins_leaves_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while the loop is made ends it without a word about a coroutine that was never awaited."""

    def interrupted(main: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(event_loop, "_complete", interrupted)

    async def main() -> None:
        """Do nothing."""

    with pytest.raises(KeyboardInterrupt):
        complete(main())
