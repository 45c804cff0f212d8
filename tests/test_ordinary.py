"""A named pipe in place of any file that a command reads to its end is refused at once, instead of waited for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fuzz.in_process import collagebench, inside

from collagebench.zoo import MANIFEST, SHIPPED


def refused(directory: Path, *arguments: str) -> str:
    """Run a command in `directory` and return the one line with which it refuses what it was given.

    A command that waits for a pipe is ended after a while, which is an error.
    """
    with inside(directory):
        code, _, said = collagebench(*arguments)
    assert code in (1, 2), said
    assert said.count("\n") == 1, said
    return said


SMALL = ("--requests", "10", "--runs", "1", "--workers", "1", "--scheme", "none", "--out", "out")


@pytest.mark.processes
@pytest.mark.parametrize("file", [MANIFEST, "shapes-single.onnx"])
@pytest.mark.parametrize("verb", ["run", "simulate", "evaluate", "record"])
def test_models(tmp_path: Path, verb: str, file: str) -> None:
    """A manifest or a model file that is a pipe is refused by name."""
    models = tmp_path / "models"
    models.mkdir()
    for name in (MANIFEST, "shapes-single.onnx"):
        shutil.copy(SHIPPED / name, models)
    (models / file).unlink()
    os.mkfifo(models / file)
    small = () if verb == "evaluate" else ("--out", "out") if verb == "record" else SMALL
    sentence = refused(tmp_path, verb, "--models", "models", *small)
    assert f"models/{file} cannot be read (it is not a regular file)" in sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "--stragglers", "./pipe", *SMALL),
        ("simulate", "--stragglers", "trace", "--trace", "pipe", *SMALL),
        ("simulate", "--profile", "pipe", *SMALL),
        ("run", "--fleet", "ssh", "--hosts", "pipe", *SMALL),
        ("report", "pipe"),
        ("profiles", "pipe"),
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_what_an_experiment_reads(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Recorded stragglers, a trace, a profile, a file of hosts or a run that is a pipe is refused by name."""
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refused(tmp_path, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "--stragglers", "./loop", *SMALL),
        ("simulate", "--stragglers", "trace", "--trace", "loop", *SMALL),
        ("simulate", "--dataset", "imagefolder", "--data", "loop", *SMALL),
        ("run", "--fleet", "endpoint", "--endpoint", "grpcs://127.0.0.1:1/m", "--tls-ca", "loop", *SMALL),
        ("report", "loop"),
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_a_link_to_itself(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A link that leads to itself, in place of a file, is refused by name."""
    (tmp_path / "loop").symlink_to("loop")
    sentence = refused(tmp_path, *arguments)
    assert "loop" in sentence
    assert "unexpected" not in sentence


@pytest.mark.parametrize("option", ["--tls-ca", "--tls-cert", "--tls-key"])
def test_certificates(tmp_path: Path, option: str) -> None:
    """A certificate or a key that is a pipe is refused by name."""
    os.mkfifo(tmp_path / "pipe")
    both = {"--tls-cert": ("--tls-key", "pipe"), "--tls-key": ("--tls-cert", "pipe")}.get(option, ())
    server = ("--fleet", "endpoint", "--endpoint", "grpcs://127.0.0.1:1/m", "--stragglers", "none", "--rate", "5")
    sentence = refused(tmp_path, "run", *server, option, "pipe", *both, *SMALL)
    assert "pipe cannot be read (it is not a regular file)" in sentence


@pytest.mark.parametrize("arguments", [("train", "single", "--resume"), ("export",)])
def test_checkpoints(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A checkpoint that is a pipe is refused by name."""
    pytest.importorskip("torch")
    os.mkfifo(tmp_path / "shapes-single.pt")
    assert "shapes-single.pt cannot be read (it is not a regular file)" in refused(tmp_path, *arguments, "--out", ".")


@pytest.mark.parametrize("file", ["run.json", "requests.csv"])
def test_where_results_go(tmp_path: Path, file: str) -> None:
    """A directory for results in which a pipe stands in place of a record is refused as not empty."""
    (tmp_path / "out").mkdir()
    for name in ("run.json", "requests.csv", "tasks.csv", "cells.csv"):
        (tmp_path / "out" / name).write_text('{"status": "running"}' if name == "run.json" else "")
    (tmp_path / "out" / file).unlink()
    os.mkfifo(tmp_path / "out" / file)
    assert "out is not empty" in refused(tmp_path, "simulate", *SMALL)


def test_beside_a_scheme(tmp_path: Path) -> None:
    """A pipe in the package of a scheme of one's own does not hold its experiment up."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("from collagebench.schemes.plain import NoRedundancy\n")
    os.mkfifo(tmp_path / "mine" / "pipe.py")
    with inside(tmp_path):
        code, _, said = collagebench("simulate", "--scheme", "mine:NoRedundancy", *SMALL[:6], "--out", "out")
    assert code in (0, 4), said
