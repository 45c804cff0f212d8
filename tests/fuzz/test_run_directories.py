"""Changed run directories, from one byte to a missing file: refused, INVALID, or the same report."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from in_process import collagebench, fuzz, inside

from collagebench.config import Config, SchemeConfig
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.results.seal import FILES, OWN, file_checksum, header_checksum

NAMES = ("run.json", "requests.csv", "tasks.csv", "cells.csv")
HOSTILE = (
    "",
    "-1",
    "0",
    "1",
    "nan",
    "inf",
    "1e999",
    "9" * 30,
    "True",
    "None",
    "own",
    "-0.5",
    "0.001",
    '"',
    "none",
    "é",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2,
    1.5,
    1e18,
    10**400,
    "",
    "x",
    "none",
    [],
    [1],
    {},
    {"a": 1},
    "\ud800",
)
FREE = {"accuracy", "goodput_rps", "cost", "dispatch_lag_s", "versus", "relative", "busy"}
"""Figures of a scheme from fields that no other field can contradict; only the checksum guards them."""


@cache
def sound() -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the files of a sound run, and its report."""
    schemes = tuple(SchemeConfig(name, name) for name in ("none", "hedge", "collage"))
    config = Config(schemes=schemes, workers=6, runs=2, requests=40, compute_time=0.001, utilisation=0.3)
    with tempfile.TemporaryDirectory() as directory:
        run = Path(directory) / "run"
        experiment.simulate(config, run, Progress())
        code, out, _ = collagebench("report", str(run), "--format", "json")
        assert code == 0
        return {name: (run / name).read_bytes() for name in NAMES}, json.loads(out)


@pytest.fixture(scope="module", autouse=True)
def _made_before() -> None:
    """Make the run before hypothesis draws from it."""
    sound()


class Files(dict[str, bytes | None]):
    """The files of a run; their repr shows only what was changed."""

    def __repr__(self) -> str:
        """Return the changed part of each changed file."""
        before, parts = sound()[0], []
        for name, content in self.items():
            if content is None:
                parts.append(f"{name} is gone")
            elif name == "run.json" and (header := parsed(content)) is not None:
                was = parsed(before[name]) or {}
                differs = [key for key in {**was, **header} if was.get(key) != header.get(key)]
                parts += [f"run.json {key}: {json.dumps(header.get(key, 'gone'))}" for key in differs]
            elif content != before[name]:
                pairs = enumerate(zip(before[name], content, strict=False))
                start = next((place for place, (old, new) in pairs if old != new), 0)
                parts.append(f"{name} from {start}: {before[name][start:][:60]!r} -> {content[start:][:60]!r}")
        return "; ".join(parts) or "nothing"


@st.composite
def changes(draw: st.DrawFn) -> Files:
    """Return the files of the run with one to three changes; None stands for a file that is gone."""
    files = Files(sound()[0])
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        name = draw(st.sampled_from(NAMES))
        content = files[name]
        if not content:
            continue
        kind = draw(st.sampled_from(("bytes", "field", "field", "line", "value", "value", "file")))
        if kind == "bytes":
            start = draw(st.integers(0, len(content)))
            inserted = draw(st.binary(max_size=4) | st.sampled_from((b"0", b"9", b"-", b".", b"\n", b",", b'"', b"e5")))
            files[name] = content[:start] + inserted + content[start + draw(st.integers(0, 6)) :]
        elif kind == "line" or (kind == "field" and name == "run.json"):
            lines = content.splitlines(keepends=True)
            place, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            how = draw(st.sampled_from(("drop", "double", "swap", "cut")))
            if how == "drop":
                del lines[place]
            elif how == "double":
                lines.insert(other, lines[place])
            elif how == "swap":
                lines[place], lines[other] = lines[other], lines[place]
            else:
                lines = lines[:place]
            files[name] = b"".join(lines)
        elif kind == "field":
            try:
                rows = list(csv.reader(StringIO(content.decode("utf-8", "replace"), newline="")))
            except csv.Error:  # an earlier change left nothing that has fields
                continue
            row = rows[draw(st.integers(0, len(rows) - 1))] or [""]
            place = draw(st.integers(0, len(row) - 1))
            digits = draw(st.booleans()) and row[place].replace(".", "").isdigit()
            row[place] = row[place][::-1] if digits else draw(st.sampled_from(HOSTILE))
            text = StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows(rows)
            files[name] = text.getvalue().encode()
        elif kind == "value" and (header := parsed(files["run.json"])) is not None:
            places = list(walk(header))
            holder, key = draw(st.sampled_from(places))
            if draw(st.booleans()):
                holder[key] = draw(st.sampled_from(VALUES))
            elif type(holder[key]) in (int, float) and abs(holder[key]) < 1e18:
                holder[key] = holder[key] * draw(st.sampled_from((-1, 2, 10, 0.5)))
            elif isinstance(holder, dict):
                del holder[key]
            files["run.json"] = json.dumps(header).encode()
        elif kind == "file":
            files[name] = draw(st.sampled_from((None, b"", b"\xff\xfe", b"{}", b"scheme\n")))
    return files


def parsed(content: bytes | None) -> dict[str, Any] | None:
    """Return the header, or None if it is not one any more."""
    try:
        header = json.loads(content or b"")
    except ValueError:
        return None
    return header if isinstance(header, dict) and header else None


def walk(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a JSON value, as its container and its key."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(pairs):
        yield value, key
        yield from walk(item)


def report(files: Files, form: str) -> tuple[int, str, str]:
    """Report the run with these files as JSON, and in the other form; return exit code and output of the first."""
    with tempfile.TemporaryDirectory() as directory, inside(Path(directory)):
        run = Path("run")
        run.mkdir()
        for name, content in files.items():
            if content is not None:
                (run / name).write_bytes(content)
        code, out, err = collagebench("report", "run", "--format", "json")
        if code != 1 and form != "json":
            again, _, _ = collagebench("report", "run", "--format", form, "--out", "report")
            assert again in (code, 1)  # a form may need records that JSON does not
    return code, out, err


@fuzz(60)
@given(files=changes(), form=st.sampled_from(("json", "json", "table", "markdown", "csv", "html", "svg", "trace")))
def test_a_changed_run_is_refused_or_invalid_or_the_same(files: Files, form: str) -> None:
    """A changed run is refused, is INVALID, or has the same report; it is never VALID with other figures."""
    code, out, err = report(files, form)
    event(f"exit code {code}")
    assert code in (0, 1, 4)
    if code == 1:
        assert err.count("\n") == 1
    elif code == 0:
        assert json.loads(out) == sound()[1]
    else:
        assert json.loads(out)["reasons"]


@fuzz(60)
@given(files=changes(), form=st.sampled_from(("json", "json", "table", "markdown", "csv", "html", "svg", "trace")))
def test_records_guard_each_other(files: Files, form: str) -> None:
    """Changed records with new checksums are refused or INVALID if they contradict each other.

    If the report is VALID and the header unchanged, its latencies, failures, sources and phases are those of the run.
    """
    header = parsed(files["run.json"])
    if header is not None:
        with tempfile.TemporaryDirectory() as directory:
            facts = {}
            for name in NAMES[1:]:
                path = Path(directory) / name
                path.write_bytes(files[name] or b"")
                facts[name] = file_checksum(path)
        header[FILES] = facts
        header[OWN] = header_checksum(header)
        files["run.json"] = json.dumps(header).encode()
    code, out, _ = report(files, form)
    event(f"exit code {code}")
    assert code in (0, 1, 4)
    if code != 0:
        return
    found, expected = json.loads(out), sound()[1]
    before = parsed(sound()[0]["run.json"])
    if header is not None and before is not None and {**before, FILES: 0, OWN: 0} == {**header, FILES: 0, OWN: 0}:
        for mine, theirs in zip(found["schemes"], expected["schemes"], strict=True):
            for key in theirs.keys() - FREE:
                assert close(mine[key], theirs[key]), (theirs["variant"], key, mine[key], theirs[key])


def close(found: Any, expected: Any) -> bool:
    """Return whether two figures are equal, apart from the rounding of times to ten digits."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            key == "injected" or close(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float) and isinstance(found, int | float):
        return abs(found - expected) <= 1e-5 + 1e-6 * abs(expected)
    return bool(found == expected)
