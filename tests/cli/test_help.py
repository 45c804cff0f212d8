"""The command line's help: complete, quick to import, and in agreement with the README."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from real_processes import ROOT

from collagebench.cli import VERBS, cli, main
from collagebench.cli.sectioned import SectionedCommand
from collagebench.errors import EXIT_USAGE

README = Path(ROOT) / "README.md"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_says_what_it_is(verb: str) -> None:
    """Each verb has a description and each of its options a help text."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert command.help
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


def test_no_help_offers_what_is_refused() -> None:
    """Natural stragglers appear only in the help of run and record, and --endpoint only in that of run."""
    offered = {}
    for verb in ("run", "simulate", "recommend", "crossover", "record"):
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        offered[verb] = command.get_help(click.Context(command, terminal_width=1000, max_content_width=1000))
    assert {verb for verb, said in offered.items() if "--stop-every" in said} == {"run", "record"}
    assert {verb for verb, said in offered.items() if "corunner" in said} == {"run", "record"}
    assert {verb for verb, said in offered.items() if "--endpoint" in said} == {"run"}


@pytest.mark.parametrize("verb", VERBS)
def test_help_fits_a_terminal(verb: str) -> None:
    """No line of a verb's help is longer than 80 characters."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    said = command.get_help(click.Context(command, info_name=verb, terminal_width=80))
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("verb", VERBS)
def test_defaults_stand_in_brackets(verb: str) -> None:
    """A default that is a number or a word ends its option's help, in brackets, as in [10]."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    said = command.get_help(click.Context(command, info_name=verb, terminal_width=1000, max_content_width=1000))
    assert "[default: " not in said
    assert "x>=" not in said
    for option in command.params:
        if isinstance(option, click.Option) and type(option.default) in (int, float, str):
            (line,) = re.findall(rf"^  {option.opts[0]} .*?(?=\n  -|\n\n|\Z)", said, re.MULTILINE | re.DOTALL)
            assert re.search(rf"\[{re.escape(str(option.default))}(: .*)?\]$", line)


def test_every_option_of_a_training_has_its_section() -> None:
    """The sections of `train --help` list every option exactly once, and nothing else."""
    command = cli.get_command(click.Context(cli), "train")
    assert isinstance(command, SectionedCommand)
    named = [name for _, names in command.sections for name in names]
    assert sorted(named) == sorted(str(param.name) for param in command.params if isinstance(param, click.Option))


@pytest.mark.parametrize("verb", ["recommend", "crossover"])
def test_what_is_asked_stands_first(verb: str) -> None:
    """The section Question has the question's options, --format, and an --out that is not called a run directory."""
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    said = command.get_help(click.Context(command, info_name=verb, terminal_width=1000, max_content_width=1000))
    question = said.split("\nQuestion:\n")[1].split("\n\n")[0]
    assert "Directory of the answer and its simulations; reuse it to ask more." in question
    assert "--format" in question
    assert ("--slo " in question) == (verb == "recommend")
    assert "The run directory" not in said


@pytest.mark.parametrize("verb", VERBS)
def test_the_readme_shows_every_verb(verb: str) -> None:
    """No verb is missing from the README."""
    if not README.exists():
        pytest.skip("an installed package carries no README file")
    assert f"collagebench {verb}" in README.read_text()


def test_help_imports_nothing_heavy() -> None:
    """No help text costs the import of torch, ONNX Runtime or gRPC."""
    program = (
        "import sys\nfrom collagebench.cli import main\n"
        "for verb in [[], *([verb] for verb in sys.argv[1:])]:\n"
        "    try:\n        main([*verb, '--help'])\n"
        "    except SystemExit as end:\n        assert end.code == 0\n"
        "    heavy = {'torch', 'torchvision', 'onnx', 'onnxruntime', 'grpc'} & set(sys.modules)\n"
        "    assert not heavy, (verb, heavy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *VERBS], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") == 1 + len(VERBS)


def test_an_unknown_verb_is_a_usage_error() -> None:
    """An unknown verb ends with 2 and is named on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "collagebench", "launch"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert "launch" in done.stderr


@pytest.mark.parametrize(
    ("typed", "said"), [("simlate", "did you mean 'simulate'?"), ("frobnicate", "there are crossover, evaluate, ")]
)
def test_a_misspelt_verb_is_guessed(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For an unknown verb the nearest one is suggested, or all are listed if none is near."""
    with pytest.raises(SystemExit) as end:
        main([typed])
    assert end.value.code == EXIT_USAGE
    assert f"there is no command {typed!r}; {said}" in capsys.readouterr().err
