"""What comes from a file or an argument cannot control the terminal on which it is printed."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pytest

from collagebench.cli import main
from collagebench.cli.live_view import LiveView
from collagebench.cli.progress import counted
from collagebench.config import Config, SchemeConfig
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.printable import printable, shortened
from collagebench.results.seal import OWN, header_checksum

RED = "\x1b[31mred\x9b0m\x07"
PLAIN = r"\x1b[31mred\x9b0m\x07"


class Terminal(StringIO):
    """A terminal whose output is kept."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_only_what_controls_is_written_as_an_escape() -> None:
    """Letters of all scripts, spaces, tabs and line ends stay; control characters and halves of characters do not."""
    kept = "naïve 日本 🙂 1\N{NO-BREAK SPACE}ms\t²\n"
    assert printable(kept) == kept
    assert printable(f"{RED}\r\u202e\ud800") == rf"{PLAIN}\r\u202e\ud800"


def test_an_error_does_not_pass_it_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours, and one of the command line's form, quote a name with escapes in place of its controls."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)  # or click would remove them itself
    for arguments in (["report", RED], ["report", f"--{RED}"], [RED]):
        with pytest.raises(SystemExit):
            main(arguments)
        said = capsys.readouterr().err
        assert "\x1b" not in said
        assert "red" in said


def test_only_what_no_reader_needs_is_left_out() -> None:
    """Long paths and sentences stay; of a word longer than any file's name, and of an endless line, the ends stay."""
    path = "/".join(["d" * 255] * 3)
    kept = f"{path} cannot be read; " + "word " * 100 + "\nand more " * 9
    assert shortened(kept) == kept
    assert shortened(f"--rate '{'9' * 5000}': give less") == f"--rate '{'9' * 59}…{'9' * 18}': give less"
    assert shortened("a " * 5000 + "; do this\nb") == "a " * 500 + "…" + ("a " * 5000 + "; do this")[-500:] + "\nb"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workers", "9" * 5000),
        ("--stragglers", "x" * 5000),
        ("--accuracy", "x " * 5000),
        ("--scheme", "x" * 5000),
        ("--data", "x" * 5000),
        (f"--{'x' * 5000}",),
        ("--profile", "p.toml"),
    ],
)
def test_a_refused_value_is_not_echoed_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """A refused value of thousands of characters, given as an option or in a profile, is shortened in the message."""
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text(f'[[scheme]]\nname = "none"\nvariant = "{"x," * 5000}"\n')
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments, "--runs", "1", "--requests", "9", "--out", "o"])
    assert ended.value.code in (1, 2)
    said = capsys.readouterr().err
    assert 20 < len(said) < 2000


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "json", "svg", "html", "trace"])
def test_a_report_does_not_pass_it_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A run whose header and records name a scheme with controls is reported without them, printed and written."""
    config = Config(schemes=(SchemeConfig("none", "plain"),), runs=2, requests=20, compute_time=0.001, accuracy=0)
    run = tmp_path / "run"
    experiment.simulate(config, run, Progress())
    header = json.loads((run / "run.json").read_text().replace('"plain"', json.dumps(RED)))
    del header["files"]
    (run / "run.json").write_text(json.dumps({**header, OWN: header_checksum(header)}))
    for table in run.glob("*.csv"):
        table.write_text(re.sub("^plain,", f"{RED},", table.read_text(), flags=re.MULTILINE))
    capsys.readouterr()
    for out in ([], ["--out", str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as ended:
            main(["report", str(run), "--format", form, *out])
        assert ended.value.code in (0, 4)
        said = (tmp_path / "out").read_text() if out else capsys.readouterr().out
        assert "red" in said
        assert not set("\x1b\x9b\x07") & set(said)


def test_a_live_view_and_a_bar_do_not_pass_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a live view, what is printed above it, and a progress bar show a name without its controls."""
    monkeypatch.setenv("TERM", "xterm-256color")
    name = f"[/b]{RED}"
    for part in ("frame", "above", "bar"):
        monkeypatch.setattr(sys, "stderr", Terminal())
        if part == "bar":
            with counted(name):
                pass
        else:
            with LiveView(before=name if part == "frame" else "") as view:
                view.show(name if part == "above" else "")
        said = sys.stderr.getvalue()
        assert r"[/b]\x1b[31mr" in said  # a bar has no room for more
        assert not {"\x9b", "\x07"} & set(said)
        assert "\x1b[31mred" not in said


def test_where_results_are_is_said_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory and a file for results, as the command line names them, are repeated without their controls."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    asked = ["--scheme", "none", "--workers", "1,2", "--requests", "20", "--runs", "1", "--compute-time", "0.001"]
    sweep, file = str(tmp_path / f"sweep {RED}"), str(tmp_path / f"file {RED}")
    for arguments in (["simulate", *asked, "--out", sweep], ["report", sweep, "--out", file]):
        with pytest.raises(SystemExit):
            main(arguments)
    said = sys.stderr.getvalue()
    assert f"sweep {PLAIN}" in said
    assert f"file {PLAIN}" in said
    assert not {"\x9b", "\x07"} & set(said)
