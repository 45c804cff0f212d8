"""The entry point of `python -m collagebench` and of the installed command; it handles Ctrl-C from the start."""

import _thread
import os
import sys
import time

LATER = 0.01
"""Seconds after which a lost Ctrl-C comes again; by then, the destructor that lost it has ended."""


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
    """Report an exception that a destructor could not raise; a Ctrl-C that was lost there comes again."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    from signal import SIGINT  # not in the thread, as the destructor may have left imports locked for other threads

    try:  # without contextlib, because a Ctrl-C during an import before `main` has a traceback
        _thread.start_new_thread(_come_again, (SIGINT,))
    except RuntimeError:  # the interpreter is about to end
        return


def _come_again(number: int) -> None:
    """Send this process a signal a moment later: unlike an exception, a signal also ends a wait."""
    time.sleep(LATER)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
