"""The entry point of `python -m collagebench` and of the installed command; it handles Ctrl-C from the start."""

import sys


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
    """Report an exception that a destructor could not raise, except for a Ctrl-C: the user can press it again."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    main()
