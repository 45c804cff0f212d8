"""The command line: each verb has its own module, imported only when called; errors are reported here alone."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import traceback

import click

from collagebench import __version__
from collagebench.cli.standard_streams import say, secure
from collagebench.errors import EXIT_ERROR, EXIT_INTERRUPTED, CollagebenchError, nearest

VERBS = {
    "run": "Measure redundancy schemes on real worker processes.",
    "simulate": "Run the same experiment in virtual time.",
    "recommend": "Recommend a scheme, and say why.",
    "crossover": "Find where the better of two schemes changes.",
    "report": "Report finished runs: table, HTML page, JSON, trace.",
    "record": "Watch real workers and record how slow they are.",
    "profiles": "List or show the named experiments.",
    "evaluate": "Measure accuracy, latency and cost of the models.",
    "train": "Train a model (needs the train extra).",
    "export": "Export trained models to ONNX (needs the train extra).",
}
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk or an exhausted quota."""
BARRED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)
"""Error numbers of a path that this user, or no user, may use."""


class Verbs(click.Group):
    """A click group whose commands live in `collagebench.cli.<verb>` and are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table above."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module and return its `command`."""
        if cmd_name not in VERBS:
            if ctx.resilient_parsing:  # shell completion: there is nobody to read an error
                return None
            ctx.fail(f"there is no command {cmd_name!r}{nearest(cmd_name, VERBS, 'there are')}")
        module = importlib.import_module(f"collagebench.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="collagebench")
def cli() -> None:
    """Measure redundancy schemes for neural-network inference side by side.

    Start with `collagebench run`: it needs no data, no network and no options.
    """


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with a documented code; no traceback reaches the user."""
    secure()
    try:
        code = cli.main(args=args, prog_name="collagebench", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("collagebench: interrupted", err=True)
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().removesuffix("\n"))
        code = error.exit_code
    except CollagebenchError as error:
        if os.environ.get("COLLAGEBENCH_TRACEBACK"):
            traceback.print_exception(error)
        say(f"collagebench: {error}")
        code = error.exit_code
    except Exception as error:
        if os.environ.get("COLLAGEBENCH_TRACEBACK"):
            raise
        if _was_ctrl_c(error):
            click.echo("collagebench: interrupted", err=True)
            sys.exit(EXIT_INTERRUPTED)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        sentence = f"unexpected {what}; set COLLAGEBENCH_TRACEBACK=1 to see where, and report it as a bug"
        if isinstance(error, OSError) and error.errno in FULL:  # standard output goes to a file on a full disk, say
            sentence = f"the output cannot be written ({error.strerror})"
        elif isinstance(error, OSError) and error.errno == errno.EMFILE:
            sentence = "too many files need to be open at once: raise `ulimit -n`"
        elif isinstance(error, OSError) and error.errno in BARRED and error.filename:
            sentence = f"{os.fsdecode(error.filename)} cannot be used ({error.strerror}); choose another path"
        say(f"collagebench: {sentence}")
        code = EXIT_ERROR
    sys.exit(code if isinstance(code, int) else 0)


def _was_ctrl_c(error: BaseException | None) -> bool:
    """Tell whether the error comes from a Ctrl-C, which Python and some libraries turn into other errors in imports."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
