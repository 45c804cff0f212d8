"""Writing run directories."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

import pytest
from full_disk import fill, small_disk
from natural_processes import until
from synthetic_run import HEADER, cell, request, task

from collagebench.errors import OutputError
from collagebench.results.directory import CELLS, PARTS, REQUESTS, SCHEMA, TASKS
from collagebench.results.part import new_part
from collagebench.results.reader import load
from collagebench.results.records import CellRecord, RequestRecord, TaskRecord
from collagebench.results.seal import FILES
from collagebench.results.writer import FLUSH_EVERY, RunWriter


def rows(path: Path) -> list[list[str]]:
    """Return all lines of a CSV file, split."""
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_columns_are_the_fields_of_the_records(tmp_path):
    """Each file begins with the names of its record's fields, before any record is written."""
    RunWriter(tmp_path / "run", {}).close()
    for name, kind in (("requests", RequestRecord), ("tasks", TaskRecord), ("cells", CellRecord)):
        assert rows(tmp_path / "run" / f"{name}.csv") == [[field.name for field in fields(kind)]]


def test_unknown_is_an_empty_field(tmp_path):
    """An unknown value is an empty field, while 0 is 0."""
    writer = RunWriter(tmp_path / "run", {})
    writer.request(request(latency=None, lag=None, group=0.0))
    writer.close()
    names, values = rows(tmp_path / "run" / "requests.csv")
    found = dict(zip(names, values, strict=True))
    assert (found["latency"], found["source"], found["lag"]) == ("", "", "")
    assert (found["group"], found["warmup"]) == ("0", "False")


def test_floats_keep_nanoseconds_of_a_minute(tmp_path):
    """Floats are written with ten significant digits, without trailing zeros."""
    writer = RunWriter(tmp_path / "run", {})
    writer.request(request(latency=12.345678901234))
    writer.close()
    names, values = rows(tmp_path / "run" / "requests.csv")
    assert values[names.index("latency")] == "12.3456789"


def test_text_that_csv_could_misread_survives(tmp_path):
    """Commas and quotes in a reason stay in one field, and a line break in it becomes a blank."""
    writer = RunWriter(tmp_path / "run", {})
    writer.request(request(latency=None, reason='refused: "no, thanks"\nreally'))
    writer.close()
    assert len((tmp_path / "run" / "requests.csv").read_text().splitlines()) == 2
    assert rows(tmp_path / "run" / "requests.csv")[1][-1] == 'refused: "no, thanks" really'


def test_records_reach_the_disk_by_themselves(tmp_path):
    """A record reaches the disk without a further call, so that it survives a crash."""
    writer = RunWriter(tmp_path / "run", {})
    writer.request(request())
    path = tmp_path / "run" / "requests.csv"
    until(lambda: len(path.read_text().splitlines()) == 2, "the record is on disk")
    writer.close()
    assert FLUSH_EVERY <= 0.5


def test_listed_cell_is_complete_on_disk(tmp_path):
    """When `cell` returns, the cell and all its records can be read from the disk."""
    writer = RunWriter(tmp_path / "run", {})
    for number in range(1000):
        writer.request(request(number=number))
        writer.task(task(number=number))
    writer.cell(cell(requests=1000))
    counts = [len(rows(tmp_path / "run" / f"{name}.csv")) - 1 for name in ("requests", "tasks", "cells")]
    writer.close()
    assert counts == [1000, 1000, 1]


def test_a_cell_that_another_process_wrote_is_taken_over(tmp_path):
    """Records in a part are added byte for byte, with the checksums of the whole, and the part is removed."""
    hard = {"latency": None, "reason": 'refused: "no, thanks"\nreally'}
    found = []
    for name in ("itself", "taken over"):
        writer = RunWriter(tmp_path / name, {})
        writer.request(request(number=0))
        with new_part(tmp_path / name, 7) if name == "taken over" else contextlib.nullcontext(writer) as records:
            for number in range(1, 1000):
                records.request(request(number=number, **(hard if number % 3 else {})))
                records.task(task(number=number))
        if name == "taken over":
            writer.take_over(7)
            assert not [*(tmp_path / name / PARTS).iterdir()]
        writer.cell(cell(requests=1000))
        writer.finish("done")
        writer.close()
        header = json.loads((tmp_path / name / "run.json").read_text())
        found.append((header[FILES], [(tmp_path / name / table).read_bytes() for table in (REQUESTS, TASKS, CELLS)]))
    assert found[0] == found[1]


def test_a_part_that_cannot_be_written_or_read_is_one_sentence(tmp_path):
    """A part in a directory that is a file, and one that is missing, are errors that name the run directory."""
    (tmp_path / PARTS).touch()
    with pytest.raises(OutputError, match=f"results cannot be written to {tmp_path} "), new_part(tmp_path, 0):
        pass
    writer = RunWriter(tmp_path / "run", {})
    with pytest.raises(OutputError, match=f"written to {tmp_path / 'run'}: it, or a part of it, was deleted"):
        writer.take_over(0)
    writer.close()


def written_twice(directory):
    """Return the writer of two cells of three requests each, and the facts to keep of the first."""
    writer = RunWriter(directory, HEADER)
    for run in (0, 1):
        for number in range(3):
            writer.request(request(run=run, number=number))
            writer.task(task(run=run, number=number))
        writer.disturbed({"scheme": "none", "run": run, "began": [], "came": []})
        writer.cell(cell(run=run, requests=3))
    return writer, {"scheme": "none", "run": 0, "dispatch_lag_p99_s": 0.1, "p50_s": 0.01, "p99_s": None}


def test_replaced_cells_are_made_anew(tmp_path):
    """Replacing a cell drops its records and disturbances and keeps its facts; others stay, and checksums match."""
    writer, facts = written_twice(tmp_path / "run")
    assert writer.replace([facts])
    between = load(tmp_path / "run")
    for number in range(3):
        writer.request(request(number=number, latency=0.5))
        writer.task(task(number=number))
    writer.cell(cell(requests=3))
    writer.finish("done")
    writer.close()
    after = load(tmp_path / "run")
    assert between.requests["run"].tolist() == [1, 1, 1]
    assert [disturbed["run"] for disturbed in between.header["disturbances"]] == [1]
    assert between.header["replaced"] == [{**facts, "p99_s": None}]
    assert after.requests["run"].tolist() == [1, 1, 1, 0, 0, 0]
    assert after.requests["latency"].tolist() == [0.01] * 3 + [0.5] * 3
    assert (after.cells["run"].tolist(), after.changed, after.left_out) == ([1, 0], (), ())


def test_what_there_is_no_room_to_replace_stays(tmp_path):
    """If a copy of the records cannot be written, no cell is replaced, and no partial file is left."""
    writer, facts = written_twice(tmp_path / "run")
    blocked = tmp_path / "run" / "tasks.csv.partial"
    blocked.mkdir()  # as on a full disk: the last of the three copies cannot be written
    assert not writer.replace([facts])
    blocked.rmdir()
    writer.finish("done")
    writer.close()
    run = load(tmp_path / "run")
    assert (len(run.requests), run.cells["run"].tolist(), run.changed) == (6, [0, 1], ())
    assert "replaced" not in run.header
    assert [path.name for path in (tmp_path / "run").glob("*.partial")] == []


def test_a_directory_that_could_not_be_continued_is_free_for_the_next_try(tmp_path):
    """If there is no room to continue a run, its directory can be used again, even by the same process."""
    writer, _ = written_twice(tmp_path / "run")
    writer.finish("done")
    writer.close()
    header = load(tmp_path / "run").header
    blocked = tmp_path / "run" / "tasks.csv.partial"
    blocked.mkdir()  # as on a full disk
    with pytest.raises(OutputError, match="cannot be written"):
        RunWriter(tmp_path / "run", header, keep=[("none", 0)])
    blocked.rmdir()
    RunWriter(tmp_path / "run", header, keep=[("none", 0)]).close()
    assert load(tmp_path / "run").cells["run"].tolist() == [0]


def test_a_directory_that_is_deleted_meanwhile_is_missed_at_once(tmp_path):
    """Once a run directory is deleted, the next cell is an error that says so."""
    writer, _ = written_twice(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(OutputError, match=f"cannot be written to {tmp_path}/run: it, or a part of it, was"):
        writer.cell(cell(run=2, requests=3))
    writer.close()


def test_header_says_what_happened(tmp_path):
    """`run.json` says "running" from the start, gets events as they happen, and ends with the status and its facts."""
    path = tmp_path / "deep" / "run"
    writer = RunWriter(path, {"engine": "live", "config": {"data": Path("images")}})
    first = json.loads((path / "run.json").read_text())
    writer.event("worker lost", "worker 3 was killed")
    second = json.loads((path / "run.json").read_text())
    writer.finish("done", bound={"p50": 0.1})
    writer.close()
    third = json.loads((path / "run.json").read_text())
    assert (first["status"], first["schema"], first["engine"], first["config"]) == (
        "running", SCHEMA, "live", {"data": "images"},
    )  # fmt: skip
    assert [(event["kind"], event["message"]) for event in second["events"]] == [("worker lost", "worker 3 was killed")]
    assert (third["status"], third["bound"], len(third["events"])) == ("done", {"p50": 0.1}, 1)
    assert sorted(item.name for item in path.iterdir()) == ["cells.csv", "requests.csv", "run.json", "tasks.csv"]


def test_results_are_never_overwritten(tmp_path):
    """A directory that is not empty is refused by name."""
    (tmp_path / "precious").write_text("x")
    with pytest.raises(OutputError, match=f"{tmp_path} is not empty"):
        RunWriter(tmp_path, {})


def test_what_failed_before_it_measured_anything_may_be_done_again(tmp_path):
    """A failed run without a record may be run again in its directory, but not with a record or another file in it."""
    for attempt in ("first", "second"):
        writer = RunWriter(tmp_path, {"engine": attempt})
        writer.finish("failed")
        writer.close()
        (tmp_path / "workers").mkdir(exist_ok=True)
        (tmp_path / PARTS).mkdir(exist_ok=True)
    assert json.loads((tmp_path / "run.json").read_text())["engine"] == "second"
    assert (tmp_path / "requests.csv").read_text().count("\n") == 1
    (tmp_path / "report.html").touch()
    with pytest.raises(OutputError, match="is not empty"):
        RunWriter(tmp_path, {})
    (tmp_path / "report.html").unlink()
    with (tmp_path / "requests.csv").open("a") as file:
        file.write("none,0\n")
    with pytest.raises(OutputError, match="is not empty"):
        RunWriter(tmp_path, {})


def test_what_found_no_room_for_its_tables_may_be_done_again(tmp_path):
    """A failed run that lacks tables, because the disk was full, may be run again; one whose status is done may not."""
    for table in ("requests.csv", "tasks.csv"):
        writer = RunWriter(tmp_path, {})
        writer.finish("failed")
        writer.close()
        (tmp_path / "cells.csv").unlink()
        (tmp_path / table).write_text("")
    for name in ("requests.csv", "tasks.csv"):
        (tmp_path / name).unlink()
    header = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**header, "status": "done"}))
    with pytest.raises(OutputError, match="is not empty"):
        RunWriter(tmp_path, {})


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_directory_that_cannot_be_made(tmp_path, place):
    """A path that cannot become a directory is refused in one sentence."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be used as a run directory"):
        RunWriter(tmp_path / place, {})


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from synthetic_run import cell, request
    from collagebench.errors import OutputError
    from collagebench.results.writer import RunWriter

    writer = RunWriter(Path(sys.argv[1]), {"schemes": []})
    for number in range(100):
        writer.request(request(number=number))
    writer.cell(cell(requests=100))
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
    try:
        for number in range(10_000):
            writer.request(request(run=1, number=number))
        writer.cell(cell(run=1, requests=10_000))
    except OutputError as error:
        print(error)
    for call in (lambda: writer.request(request()), lambda: writer.finish("failed")):
        try:
            call()
        except OutputError:
            print("refused")
    writer.close()
"""


@pytest.mark.processes
def test_full_disk_is_one_sentence_and_loses_nothing_written(tmp_path):
    """On a full disk every call fails with one sentence except closing, and the finished cell can still be read."""
    from collagebench.results.reader import load

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parents[1]}"},
    )
    sentence, *refused = done.stdout.splitlines()
    assert f"results cannot be written to {tmp_path / 'run'} (File too large)" in sentence
    assert refused == ["refused", "refused"]
    assert (done.returncode, done.stderr) == (0, "")
    run = load(tmp_path / "run")
    assert len(run.requests) == 100
    assert run.left_out == ("none run 1",)
    assert len(run.notes) == 1


@pytest.mark.parametrize(("status", "nameless"), [("done", True), ("interrupted", True), ("done", False)])
def test_the_last_header_has_the_room_that_was_held_for_it(tmp_path, monkeypatch, status, nameless):
    """If the disk fills up during a run, its status is still written, with or without O_TMPFILE."""
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")
    with small_disk(tmp_path / "disk", 128) as disk:
        with contextlib.closing(RunWriter(disk / "run", dict(HEADER))) as writer:
            assert {path.suffix for path in (disk / "run").iterdir()} == {".json", ".csv"}
            writer.request(request())
            writer.cell(cell())
            fill(disk)
            writer.finish(status)
        assert load(disk / "run").header["status"] == status


def test_pandas_opens_each_file_in_one_call(tmp_path):
    """`pandas.read_csv` reads each file without arguments, and takes the scheme `none` for a name."""
    pandas = pytest.importorskip("pandas", reason="needs the test extra")
    writer = RunWriter(tmp_path / "run", {})
    writer.request(request(latency=0.25, warmup=True))
    writer.request(request(number=1, latency=None))
    writer.task(task(role="collage", requests="0 1"))
    writer.cell(cell(requests=2))
    writer.close()
    requests, tasks, cells = (
        pandas.read_csv(tmp_path / "run" / f"{name}.csv") for name in ("requests", "tasks", "cells")
    )
    assert requests.scheme.tolist() == ["none", "none"]
    assert requests[requests.warmup].latency.tolist() == [0.25]
    assert requests.latency.isna().tolist() == [False, True]
    assert tasks.requests[0].split() == ["0", "1"]
    assert cells.requests.tolist() == [2]


def test_what_went_wrong_can_be_read_whatever_it_names(tmp_path):
    """An error text that is not valid UTF-8 still makes a header that can be read."""
    with contextlib.closing(RunWriter(tmp_path / "run", dict(HEADER))) as writer:
        writer.request(request())
        writer.cell(cell())
        writer.finish("failed", error="no \udcff here")
    run = load(tmp_path / "run")
    assert (run.header["error"], run.changed) == ("no ? here", ())
