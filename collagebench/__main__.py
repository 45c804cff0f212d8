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
        _thread.start_new_thread(_come_again, ())
    else:
        sys.__unraisablehook__(lost)


def _come_again() -> None:
    """Press Ctrl-C once more, a moment later."""
    from signal import SIGINT  # which loads more, and until `main` a Ctrl-C has a traceback

    time.sleep(LATER)
    os.kill(os.getpid(), SIGINT)  # a real one, which also ends a wait


if __name__ == "__main__":
    main()
