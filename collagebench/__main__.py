"""`python -m collagebench` is the `collagebench` command, as is what pip installs; both hear a Ctrl-C from here on."""

import sys


def main() -> None:
    """Be the command; a Ctrl-C while it is being imported, or while it says how it ended, shows no traceback either."""
    sys.unraisablehook = _say_it_is_lost
    try:
        from collagebench.cli import main as command

        command()
    except KeyboardInterrupt:
        print("collagebench: interrupted", file=sys.stderr)
        sys.exit(130)


def _say_it_is_lost(lost: "sys.UnraisableHookArgs") -> None:
    """Say what a destructor could not raise, but for a Ctrl-C: that is to be pressed once more."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    main()
