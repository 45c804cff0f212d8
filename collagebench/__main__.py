"""The entry point of `python -m collagebench` and of the installed command; it handles Ctrl-C from the start."""

import _thread
import os
import sys
import time

LATER = 0.01
"""Seconds after which a Ctrl-C that was lost comes again: the destructor that lost it is over by then."""


def main() -> None:
    """Run the command; no Ctrl-C shows a traceback, not even during the import or while an error is reported."""
    sys.unraisablehook = _say_it_is_lost
    try:
        from collagebench.cli import main as command

        command()
    except KeyboardInterrupt:
        print("collagebench: interrupted", file=sys.stderr)
        sys.exit(130)


def _say_it_is_lost(lost: "sys.UnraisableHookArgs") -> None:
    """Say what a destructor could not raise, but for a Ctrl-C: that comes once more."""
    if lost.exc_type is KeyboardInterrupt:
        from signal import SIGINT  # here, as the destructor may have left imports locked for all other threads

        _thread.start_new_thread(_come_again, (SIGINT,))
    else:
        sys.__unraisablehook__(lost)


def _come_again(number: int) -> None:
    """Send this process the signal, a moment later: a real one also ends a wait."""
    time.sleep(LATER)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
