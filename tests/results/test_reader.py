"""Reading run directories, whole or damaged."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_run import cell, change_header, make_run, request, task

from collagebench.errors import DataError
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter


def test_what_was_written_is_read(tmp_path):
    """Every figure is read back as written, and unknown ones as NaN, -1 or an empty text."""
    writer = RunWriter(tmp_path / "run", {"schemes": [{"scheme": "none"}]})
    writer.request(request(latency=0.125, warmup=True, source="own", predicted=7))
    writer.request(request(number=1, latency=None, reason="deadline, at last"))
    writer.task(task(worker=4, service=0.5, wanted_s=None))
    writer.cell(cell(requests=2, lost_workers="worker 1 ended"))
    writer.finish("done")
    writer.close()
    run = load(tmp_path / "run")
    assert run.header["status"] == "done"
    assert run.requests["latency"][0] == 0.125
    assert np.isnan(run.requests["latency"][1])
    assert run.requests["predicted"].tolist() == [7, -1]
    assert run.requests["warmup"].tolist() == [True, False]
    assert [run.requests.texts["reason"][code] for code in run.requests["reason"]] == ["", "deadline, at last"]
    assert run.requests.equal("source", "own").tolist() == [True, False]
    assert run.requests.equal("source", "collage").tolist() == [False, False]
    assert run.tasks["service"].tolist() == [0.5]
    assert np.isnan(run.tasks["wanted_s"][0])
    assert run.cells.equal("lost_workers", "worker 1 ended").tolist() == [True]
    assert (run.left_out, run.notes) == ((), ())


def test_long_files_are_read_in_chunks(tmp_path, monkeypatch):
    """Texts keep their codes across the chunks in which a long file is read."""
    monkeypatch.setattr("collagebench.results.lines.BLOCK", 300)
    make_run(tmp_path / "run", {"b": [[0.1] * 4], "a": [[0.2] * 4], "c": [[0.3] * 4]})
    run = load(tmp_path / "run")
    assert run.of("b").requests["latency"].tolist() == [0.1] * 4
    assert run.of("a").requests["latency"].tolist() == [0.2] * 4
    assert run.of("c").tasks["service"].tolist() == [0.01] * 4


def test_only_complete_cells_count(tmp_path):
    """A cell that was not finished when the program died is left out and named."""
    writer = RunWriter(tmp_path / "run", {"schemes": []})
    for run, size in ((0, 3), (1, 2)):
        for number in range(size):
            writer.request(request("hedge", run, number))
            writer.task(task("hedge", run, number))
        if run == 0:
            writer.cell(cell("hedge", run, size))
    writer.close()
    run = load(tmp_path / "run")
    assert (len(run.requests), len(run.tasks), len(run.cells)) == (3, 3, 1)
    assert run.left_out == ("hedge run 1",)
    assert run.header["status"] == "running"


def test_cell_without_all_its_requests_is_not_complete(tmp_path):
    """A cell that is listed but lacks a record, as after a crash of the machine, is left out as well."""
    make_run(tmp_path / "run", {"none": [[0.1, 0.2], [0.1, 0.2]]})
    path = tmp_path / "run" / "requests.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    run = load(tmp_path / "run")
    assert run.requests["run"].tolist() == [0, 0]
    assert run.left_out == ("none run 1",)


@pytest.mark.parametrize("kept", [1, 30, 90])
def test_torn_last_line_is_dropped_and_reported(tmp_path, kept):
    """A file that ends in the middle of a line is read up to that line, with a note that says so."""
    make_run(tmp_path / "run", {"none": [[0.1, 0.2]]})
    path = tmp_path / "run" / "requests.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1][:kept])
    run = load(tmp_path / "run")
    assert run.requests["latency"].tolist() == [0.1, 0.2]
    assert len(run.notes) == 1
    assert "requests.csv ends in the middle of a line" in run.notes[0]


def test_file_torn_at_its_header_holds_nothing(tmp_path):
    """Files cut off within their first line are a readable run without records."""
    make_run(tmp_path / "run", {"none": [[0.1, 0.2]]})
    for name in ("requests.csv", "tasks.csv", "cells.csv"):
        (tmp_path / "run" / name).write_text("scheme,ru")
    run = load(tmp_path / "run")
    assert (len(run.requests), len(run.cells), run.left_out) == (0, 0, ())
    assert len(run.notes) == 3


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"none,zero" + b"," * 21, "line 4 is not a record (its run is 'zero')"),
        (b"none," + b"9" * 5000 + b"," * 21, f"line 4 is not a record (its run is '{'9' * 40}')"),
        (b"none,1,1,1,1,maybe" + b"," * 17, "line 4 is not a record (its warmup is 'maybe')"),
        (b"none,1,2", "line 4 is not a record (it does not have 23 fields)"),
        (b'"none,0', "line 4 is not a record (its quotes are not those of a CSV file)"),
        (b"none,1,\xff", "is not text in UTF-8 after line 1"),
    ],
    ids=["no number", "no count", "no truth", "too short", "open quote", "no text"],
)
def test_impossible_line_is_refused_by_name(tmp_path, line, what):
    """A complete line that is no record means a damaged file: the file, the line and the field are named."""
    make_run(tmp_path / "run", {"none": [[0.1, 0.2]]})
    table = tmp_path / "run" / "requests.csv"
    table.write_bytes(table.read_bytes() + line + b"\n")
    with pytest.raises(DataError) as refused:
        load(tmp_path / "run")
    assert str(refused.value) == f"{table} {what}; the file is damaged"


def test_foreign_columns_are_refused(tmp_path):
    """A file with other columns than those of a run is refused."""
    make_run(tmp_path / "run", {"none": [[0.1]]})
    (tmp_path / "run" / "tasks.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"tasks\.csv does not have the columns of a run"):
        load(tmp_path / "run")


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (99, r"schema 99 \(written by collagebench 9\.0\).*upgrade"),
        (2, "schema 2, which is no longer read: run .* again"),
    ],
)
def test_another_schema_is_refused_by_name(tmp_path, schema, sentence):
    """A run of a newer schema is refused with the version that wrote it, one of an older schema with what to do."""
    make_run(tmp_path / "run", {"none": [[0.1]]})
    change_header(tmp_path / "run", schema=schema, tool="collagebench 9.0")
    with pytest.raises(DataError, match=sentence):
        load(tmp_path / "run")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"schema": "new"}'])
def test_directory_of_something_else_is_refused(tmp_path, content):
    """A directory that is not a run is refused by name, whatever its run.json holds."""
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match=str(tmp_path)):
        load(tmp_path)


def test_missing_records_are_an_error(tmp_path):
    """A run directory without one of its files is refused."""
    make_run(tmp_path / "run", {"none": [[0.1]]})
    (tmp_path / "run" / "cells.csv").unlink()
    with pytest.raises(DataError, match=r"cells\.csv cannot be read"):
        load(tmp_path / "run")


@pytest.mark.parametrize("name", ["run.json", "requests.csv", "tasks.csv", "cells.csv"])
def test_what_may_never_end_is_not_read(tmp_path, name):
    """A device in the place of a file, here behind a link, is refused and not read."""
    make_run(tmp_path / "run", {"none": [[0.1]]})
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).symlink_to("/dev/null")
    with pytest.raises(DataError, match=rf"{name} cannot be read \(it is not a regular file\)"):
        load(tmp_path / "run")


def test_variants_keep_the_order_of_the_header(tmp_path):
    """Schemes keep the order of the header, including those without a complete cell."""
    schemes = [{"scheme": "none", "variant": "none"}, {"scheme": "collage", "variant": "wait"}, {"scheme": "hedge"}]
    make_run(tmp_path / "run", {"wait": [[0.1]], "none": [[0.1]]}, header={"schemes": schemes})
    assert load(tmp_path / "run").variants == ["none", "wait", "hedge"]
