"""The event loop of measurements: its result, its priority, and signals at any moment."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from collagebench.engine import event_loop
from collagebench.engine.event_loop import SWITCH_INTERVAL, ahead_of_others, complete, is_ahead, is_nice
from collagebench.errors import Interrupted
from collagebench.interrupts import interruptions


def test_it_returns_what_the_coroutine_returns() -> None:
    """`complete` returns the coroutine's result; threads switch more often meanwhile, and as before afterwards."""
    before = sys.getswitchinterval()

    async def main() -> float:
        return sys.getswitchinterval()

    assert complete(main()) == pytest.approx(SWITCH_INTERVAL)
    assert sys.getswitchinterval() == before


def policy() -> int:
    """Return the scheduling policy of this thread."""
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK


def test_it_is_ahead_of_all_that_it_starts() -> None:
    """Threads and processes started under real-time priority have the usual one, and so has the thread afterwards."""
    seen: list[int] = []
    with ahead_of_others():
        ahead = is_ahead()
        thread = threading.Thread(target=lambda: seen.append(policy()))
        thread.start()
        thread.join()
        asked = "import os; print(os.sched_getscheduler(0))"
        seen.append(int(subprocess.run([sys.executable, "-c", asked], stdout=subprocess.PIPE, check=True).stdout))
    assert seen == [os.SCHED_OTHER] * 2
    assert policy() == os.SCHED_OTHER
    assert not is_ahead()
    if not ahead:
        pytest.skip("real-time priority is not allowed here")


ASKED = """
import os, resource
from collagebench.engine.event_loop import ahead_of_others, is_ahead
{first}
with ahead_of_others():
    print(is_ahead())
print(os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
"""
NOBODY = """
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
if os.getuid() == 0:
    os.setuid(65534)
"""


@pytest.mark.parametrize(("first", "nicer"), [(NOBODY, 0), ("os.nice(7)", 7)], ids=["not allowed", "nice"])
def test_who_may_not_or_is_nice_goes_without(first: str, nicer: int) -> None:
    """A process that may not have real-time priority, or is nice, silently keeps its policy and niceness."""
    done = subprocess.run([sys.executable, "-c", ASKED.format(first=first)], capture_output=True, text=True, check=True)
    nice = min(os.getpriority(os.PRIO_PROCESS, 0) + nicer, 19)
    assert (done.stdout.split(), done.stderr) == (["False", "0", str(nice)], "")


@pytest.mark.parametrize("lacking", ["answers", "reset on fork"])
def test_where_policies_cannot_be_known_they_are_left_alone(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    """Real-time priority is not used where policies cannot be read (musl) or are inherited by children (FreeBSD)."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    if lacking == "answers":
        for name in ("sched_getscheduler", "sched_setscheduler", "sched_getparam", "getpriority"):
            monkeypatch.setattr(os, name, refuse)
    else:
        monkeypatch.delattr(os, "SCHED_RESET_ON_FORK")
        monkeypatch.setattr(os, "sched_setscheduler", lambda *arguments: pytest.fail("it was changed"))
    with ahead_of_others():
        assert not is_ahead()
    assert not is_nice() or lacking == "reset on fork"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_it_tidy_up(number: signal.Signals) -> None:
    """SIGINT and SIGTERM cancel the coroutine; a second one does not interrupt its cleanup; handlers are restored."""
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_it_was_started_to_ignore_does_not_end_it(number: signal.Signals) -> None:
    """A signal ignored from the start stays ignored: SIGHUP under nohup, SIGINT in the background of a script."""
    before = signal.signal(number, signal.SIG_IGN)

    async def main() -> bool:
        heard = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, heard.set)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGUSR1)
        return await heard.wait()

    try:
        assert complete(main())
        with interruptions() as told:
            os.kill(os.getpid(), number)
            assert not told.is_set()
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_an_interruption_before_it_begins_leaves_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while the loop is being set up causes no warning about a coroutine that was never awaited."""

    def interrupted(main: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(event_loop, "_complete", interrupted)

    async def main() -> None:
        """Do nothing."""

    with pytest.raises(KeyboardInterrupt):
        complete(main())
