"""Resuming an experiment: what is kept, what is done again, and when it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import change_header

from collagebench.config import Config, SchemeConfig
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.errors import DataError, Interrupted, OutputError, UsageError
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter
from collagebench.statistics.validity import judge
from collagebench.statistics.warnings import warnings
from collagebench.study import points

SCHEMES = tuple(SchemeConfig(name, name) for name in ("none", "hedge", "collage"))
CONFIG = Config(schemes=SCHEMES, workers=4, runs=2, requests=110)
KILLED = {"status": "running", "files": {}}
"""What the header says after kill -9."""
FILES = ("requests.csv", "tasks.csv", "cells.csv")


class StopAfter(Progress):
    """Interrupts an experiment in the middle of one of its cells, as Ctrl-C would."""

    def __init__(self, cells: int) -> None:
        self._left = cells

    def cell(self, scheme: str, run: int) -> None:
        self._left -= 1

    def advance(self, requests: int) -> None:
        if self._left < 0:
            raise Interrupted("interrupted")


def simulate(directory: Path, config: Config = CONFIG, resume: bool = False, progress: Progress | None = None) -> Path:
    """Simulate into `directory`."""
    experiment.simulate(config, directory, progress or Progress(), resume)
    return directory


def interrupted(directory: Path, cells: int, config: Config = CONFIG) -> Path:
    """Simulate into `directory` and stop in the middle of the cell after the first `cells`."""
    with pytest.raises(Interrupted, match=f"continue with --resume --out {directory}"):
        simulate(directory, config, progress=StopAfter(cells))
    return directory


def test_the_way_to_continue_can_be_copied(tmp_path: Path) -> None:
    """A directory whose name a shell would split is quoted, of an experiment as of a study."""
    with pytest.raises(Interrupted) as stopped:
        simulate(tmp_path / "a b", progress=StopAfter(1))
    for message in (stopped.value, points.interrupted(tmp_path / "a b")):
        assert f"--out '{tmp_path / 'a b'}'" in str(message)


@pytest.mark.parametrize("cells", [0, 4])
def test_a_resumed_simulation_equals_one_that_never_stopped(tmp_path: Path, cells: int) -> None:
    """A resumed simulation uses its first inference times, and has the records of an uninterrupted one with them."""
    part = interrupted(tmp_path / "part", cells)
    assert len(load(part).cells) == cells
    measured = json.loads((part / "run.json").read_text())["models"]
    simulate(part, resume=True)
    header = json.loads((part / "run.json").read_text())
    assert (header["status"], header["models"]) == ("done", measured)
    whole = simulate(tmp_path / "whole", replace(CONFIG, compute_time=None))
    times = {model["name"]: model["compute_s"] for model in measured}
    # The other run measured inference anew; with the times of the first it has the same records.
    models = json.loads((whole / "run.json").read_text())["models"]
    change_header(whole, models=[{**model, "compute_s": times[model["name"]]} for model in models], **KILLED)
    (whole / "cells.csv").write_text((whole / "cells.csv").read_text().splitlines(keepends=True)[0])
    simulate(whole, resume=True)
    for name in FILES:
        assert (part / name).read_bytes() == (whole / name).read_bytes()
    assert judge(load(part)) == []


def test_with_given_times_nothing_differs(tmp_path: Path) -> None:
    """With --compute-time, an interrupted and resumed run has the records and bound of an uninterrupted one."""
    config = replace(CONFIG, compute_time=0.002)
    part, whole = interrupted(tmp_path / "part", 5, config), simulate(tmp_path / "whole", config)
    simulate(part, config, resume=True)
    for name in FILES:
        assert (part / name).read_bytes() == (whole / name).read_bytes()
    assert load(part).header["bound"] == load(whole).header["bound"]


@pytest.mark.parametrize("missing", [FILES, FILES[1:]])
def test_a_run_whose_tables_were_never_made_goes_on(tmp_path: Path, missing: tuple[str, ...]) -> None:
    """A run that was killed, or found the disk full, before it had its tables is INVALID and can be resumed."""
    config = replace(CONFIG, schemes=SCHEMES[:1], compute_time=0.002)
    part, whole = interrupted(tmp_path / "part", 0, config), simulate(tmp_path / "whole", config)
    change_header(part, **KILLED)
    (part / FILES[0]).write_text("")
    for name in missing:
        (part / name).unlink()
    assert judge(load(part)) != []
    simulate(part, config, resume=True)
    for name in FILES:
        assert (part / name).read_bytes() == (whole / name).read_bytes()
    assert judge(load(part)) == []


@pytest.mark.parametrize("file", FILES)
def test_a_torn_or_incomplete_cell_is_done_again(tmp_path: Path, file: str) -> None:
    """If the last third of one file is missing, the affected cells are done again, with the same records."""
    config = replace(CONFIG, compute_time=0.002)
    whole = simulate(tmp_path / "run", config)
    before = {name: (whole / name).read_bytes() for name in FILES}
    (whole / file).write_bytes(before[file][: 2 * len(before[file]) // 3])
    change_header(whole, **KILLED)
    simulate(whole, config, resume=True)
    run = load(whole)
    assert run.left_out == ()
    assert run.notes == ()
    for name in FILES:
        rows = (whole / name).read_text().splitlines()
        assert sorted(rows) == sorted(before[name].decode().splitlines())


def test_a_whole_run_is_left_as_it_is(tmp_path: Path) -> None:
    """Resuming a complete run changes no file."""
    run = simulate(tmp_path / "run", replace(CONFIG, runs=1))
    before = {path: path.read_bytes() for path in run.iterdir()}
    simulate(run, replace(CONFIG, runs=1), resume=True)
    assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "interrupted"])
def test_a_run_that_is_extended_equals_one_begun_with_more_runs(tmp_path: Path, finished: bool) -> None:
    """Runs can be added to a finished run and to an interrupted one; only the header tells that they were added."""
    few, many = replace(CONFIG, compute_time=0.002), replace(CONFIG, compute_time=0.002, runs=4)
    whole = simulate(tmp_path / "whole", many)
    part = simulate(tmp_path / "part", few) if finished else interrupted(tmp_path / "part", 4, few)
    assert load(part).header.get("extended") is None
    interrupted_again = StopAfter(3)
    with pytest.raises(Interrupted):
        simulate(part, many, resume=True, progress=interrupted_again)
    simulate(part, many, resume=True)
    for name in FILES:
        assert (part / name).read_bytes() == (whole / name).read_bytes()
    run, other = load(part), load(whole)
    assert (run.header["config"], run.header["bound"]) == (other.header["config"], other.header["bound"])
    assert run.header["extended"] == [2]
    assert judge(run) == []
    with pytest.raises(UsageError, match=r"was extended to --runs 4, not 2: use --runs 4 or more"):
        simulate(part, few, resume=True)
    texts = [event["message"] for event in run.header["events"]]
    kept = 6 if finished else 4
    assert texts == [
        f"resumed after {kept} of 12 cells, with 4 runs instead of 2.",
        f"resumed after {kept + 3} of 12 cells.",
    ]


def test_an_unfinished_extension_can_be_taken_back(tmp_path: Path) -> None:
    """With the number of runs before it, the records and the bound are as before; once finished, it stays."""
    config = replace(CONFIG, compute_time=0.002)
    run = simulate(tmp_path / "run", config)
    before, bound = {name: (run / name).read_bytes() for name in FILES}, load(run).header["bound"]
    with pytest.raises(Interrupted):
        simulate(run, replace(config, runs=2000), resume=True, progress=StopAfter(4))
    with pytest.raises(UsageError, match=r"to --runs 2000, not 3: use --runs 2000 or more, or --runs 2 to take"):
        simulate(run, replace(config, runs=3), resume=True)
    simulate(run, config, resume=True)
    found = load(run)
    assert {name: (run / name).read_bytes() for name in FILES} == before
    assert (found.header["bound"], found.header["extended"], judge(found)) == (bound, [], [])
    assert "runs were added" not in " ".join(warnings(found))
    assert "resumed after 6 of 6 cells, with 2 runs again." in warnings(found)
    simulate(run, replace(config, runs=3), resume=True)
    with pytest.raises(UsageError, match=r"to --runs 3, not 2: use --runs 3 or more, or choose another directory"):
        simulate(run, config, resume=True)


def test_an_extension_that_lost_a_worker_can_be_taken_back(tmp_path: Path) -> None:
    """It has stopped, although it is marked as done; what is said of its added runs goes with them."""
    config = replace(CONFIG, compute_time=0.002)
    run = simulate(tmp_path / "run", config)
    before = {name: (run / name).read_bytes() for name in FILES}
    with pytest.raises(Interrupted):
        simulate(run, replace(config, runs=5), resume=True, progress=StopAfter(4))
    figures = {"scheme": "none", "dispatch_lag_p99_s": 0.1, "p50_s": 0.1, "p99_s": 0.1}
    lost = {"kind": "worker lost", "message": "worker 1 was killed", "at_utc": "then"}

    def lose(header: dict[str, Any]) -> None:
        header.update(status="done", replaced=[{**figures, "run": number} for number in (1, 2)])
        header["events"].append(lost)

    edit(run, lose)
    simulate(run, config, resume=True)
    found = load(run)
    assert {name: (run / name).read_bytes() for name in FILES} == before
    assert (found.config["runs"], found.header["extended"], judge(found)) == (2, [], [])
    said = " ".join(warnings(found))
    assert "worker 1 was killed; that cell was repeated, or taken back with its run" in said
    assert "the client was late in 1 of 2 runs" in said


def test_added_runs_come_with_a_warning(tmp_path: Path) -> None:
    """A report says how often somebody who adds runs until a difference is shown is misled, at most."""
    config = replace(CONFIG, compute_time=0.002)
    part = simulate(tmp_path / "run", config)
    assert "runs were added" not in " ".join(warnings(load(part)))
    for runs, chance in ((3, 10), (5, 14)):
        simulate(part, replace(config, runs=runs), resume=True)
        [said] = [text for text in warnings(load(part)) if text.startswith("runs were added")]
        assert said == (
            "runs were added to the first 2. If that goes on until a difference is shown, chance alone shows one in up "
            f"to {chance} % of cases instead of 5 %: to be sure, repeat the whole run with another --seed."
        )
    alone = replace(config, schemes=SCHEMES[:1], runs=1)
    simulate(simulate(tmp_path / "alone", alone), replace(alone, runs=2), resume=True)
    assert "runs were added" not in " ".join(warnings(load(tmp_path / "alone")))


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (replace(CONFIG, runs=1), r"begun with --runs 2, not 1: use --runs 2 or more, or choose another directory"),
        (replace(CONFIG, seed=1), r"begun with --seed 0, not 1"),
        (replace(CONFIG, slo_ms=5.0), r"begun with --slo None, not 5.0"),
        (replace(CONFIG, schemes=SCHEMES[:2]), r"none, hedge, collage, not none, hedge"),
        (
            replace(CONFIG, schemes=(*SCHEMES[:2], replace(SCHEMES[2], options=(("hold", 0.1),)))),
            r"hold of collage was its default, not 0.1",
        ),
    ],
)
def test_another_config_is_refused(tmp_path: Path, config: Config, sentence: str) -> None:
    """Resuming with another config raises a UsageError that names the difference, and no file is changed."""
    part = interrupted(tmp_path / "part", 1)
    before = {path: path.read_bytes() for path in part.iterdir()}
    with pytest.raises(UsageError, match=sentence):
        simulate(part, config, resume=True)
    assert {path: path.read_bytes() for path in part.iterdir()} == before


def edit(directory: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the header of a run."""
    header = json.loads((directory / "run.json").read_text())
    change(header)
    change_header(directory, **header)


def test_what_cannot_be_resumed_is_refused(tmp_path: Path) -> None:
    """A run of another verb or allotment is not resumed, nor is a directory without a run."""
    part = interrupted(tmp_path / "part", 1)
    with pytest.raises(UsageError, match="begun with simulate: it cannot be resumed with run"):
        experiment.run(CONFIG, part, Progress(), resume=True)
    with pytest.raises(DataError, match="is not a run directory"):
        simulate(tmp_path, resume=True)
    edit(part, lambda header: header["schemes"][0].update(allotment={"single": 3}))
    with pytest.raises(UsageError, match=r"was begun with allotment .* of none"):
        simulate(part, resume=True)


@pytest.mark.parametrize("cells", [1, 6])
def test_what_another_program_began_is_not_gone_on_with(tmp_path: Path, cells: int) -> None:
    """A run is not resumed, even a complete one, if the program's source has changed since it was begun.

    Otherwise nobody could tell which of the two versions a figure is from.
    """
    part = interrupted(tmp_path / "part", cells) if cells == 1 else simulate(tmp_path / "part", CONFIG)
    edit(part, lambda header: header["environment"].update(sources="0123456789abcdef"))
    before = {path: path.read_bytes() for path in part.iterdir()}
    with pytest.raises(UsageError, match="was begun before this program was changed"):
        simulate(part, CONFIG, resume=True)
    assert {path: path.read_bytes() for path in part.iterdir()} == before


def test_what_was_changed_is_not_resumed(tmp_path: Path) -> None:
    """A run with a changed record is not resumed, since the record would be sealed as if it had been measured."""
    part = interrupted(tmp_path / "part", 2)
    path = part / "requests.csv"
    path.write_text(path.read_text().replace(",own,", ",hedge,", 1))
    with pytest.raises(UsageError, match=r"requests\.csv changed since the run was written"):
        simulate(part, resume=True)


def test_two_processes_never_write_to_one_run(tmp_path: Path) -> None:
    """A run that is still open for writing cannot be resumed, and can be once it is closed."""
    part = interrupted(tmp_path / "part", 1)
    writer = RunWriter(part, load(part).header, frozenset())
    with pytest.raises(OutputError, match="another process is writing to"):
        simulate(part, resume=True)
    writer.close()
    simulate(part, resume=True)
    assert load(part).left_out == ()


def test_what_another_process_has_added_meanwhile_is_kept(tmp_path: Path) -> None:
    """If a run was extended after a second process had read it, the second does not drop the added runs."""
    part = simulate(tmp_path / "part", CONFIG)
    before = load(part).header
    simulate(part, replace(CONFIG, runs=3), resume=True)
    with pytest.raises(OutputError, match=r"another process has written to .* since it was read: repeat the command"):
        RunWriter(part, before, frozenset())
    assert len(load(part).cells) == 9
    simulate(part, replace(CONFIG, runs=4), resume=True)
    assert load(part).header["extended"] == [2, 3]


def test_what_has_changed_meanwhile_is_said(tmp_path: Path) -> None:
    """If CPU, Python or a model file has changed before a resume, one warning names them; the run is valid."""
    part = interrupted(tmp_path / "part", 2)

    def move(header: dict[str, Any]) -> None:
        header["environment"].update(cpu="an older one", python="CPython 3.1")
        header["models"][0]["sha256"] = "0" * 64

    edit(part, move)
    simulate(part, resume=True)
    run = load(part)
    (note,) = [text for text in warnings(run) if "resumed" in text]
    assert note.startswith("resumed after 2 of 6 cells; since then model ")
    assert " is another file, cpu was an older one and is " in note
    assert "python was CPython 3.1 and is " in note
    assert run.header["resumed"][0]["cells_kept"] == 2
    assert judge(run) == []


def test_a_cell_that_lost_a_worker_is_done_again(tmp_path: Path) -> None:
    """A cell that lost a worker is repeated on resume; then the run is valid, and a warning tells of the loss."""
    part = simulate(tmp_path / "run", replace(CONFIG, runs=1))
    lines = (part / "cells.csv").read_text().splitlines()
    (part / "cells.csv").write_text("\n".join([*lines[:-1], lines[-1] + "worker 1 was killed", ""]))
    event = {"kind": "worker lost", "message": "worker 1 was killed", "at_utc": "then"}
    change_header(part, events=[event], files={})
    assert any("worker 1 was killed" in reason for reason in judge(load(part)))
    simulate(part, replace(CONFIG, runs=1), resume=True)
    run = load(part)
    assert judge(run) == []
    assert "worker 1 was killed; that cell was repeated" in " ".join(warnings(run))


@pytest.mark.parametrize(("changed", "whose"), [("trace", "the stragglers"), ("arrivals", "the arrivals")])
@pytest.mark.parametrize("whole", [False, True])
def test_a_changed_file_is_noticed(tmp_path: Path, changed: str, whose: str, whole: bool) -> None:
    """A run is not resumed if its trace or its log of arrivals has changed or is gone, and is once it is as before.

    Nor is a whole run, as studies keep them, taken for one of the new file.
    """
    files = {name: tmp_path / f"{name}.txt" for name in ("trace", "arrivals")}
    for file in files.values():
        file.write_text("0.01\n0.02\n0.04\n")
    config = replace(CONFIG, stragglers="trace", trace=files["trace"], arrivals=str(files["arrivals"]))
    begun = simulate(tmp_path / "run", config) if whole else interrupted(tmp_path / "run", 2, config)
    files[changed].write_text("0.01\n0.03\n0.04\n")
    with pytest.raises(UsageError, match=rf"{whose}' file \({files[changed]}\) has changed since"):
        simulate(begun, config, resume=True)
    files[changed].unlink()
    with pytest.raises(DataError, match=rf"{files[changed]} cannot be read \(No such file or directory\)"):
        simulate(begun, config, resume=True)
    files[changed].write_text("0.01\n0.02\n0.04\n")
    simulate(begun, config, resume=True)
    assert judge(load(begun)) == []


def test_disturbances_of_a_cell_that_is_done_again_are_forgotten(tmp_path: Path) -> None:
    """A resume keeps the recorded disturbances of complete cells only."""
    part = interrupted(tmp_path / "part", 2)
    kept = load(part).cells
    done = (kept.texts["scheme"][int(kept["scheme"][0])], int(kept["run"][0]))
    facts = [{"scheme": name, "run": run, "began": [], "came": []} for name, run in (done, ("collage", 99))]
    change_header(part, disturbances=facts)
    simulate(part, resume=True)
    assert load(part).header["disturbances"] == facts[:1]
