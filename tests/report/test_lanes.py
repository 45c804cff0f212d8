"""The timelines around the slowest requests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from synthetic_run import HEADER, cell, request, task

from collagebench.report.frame import looks_of
from collagebench.report.lanes import timelines
from collagebench.results.checks import SUMMED
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter


def drawn(directory: Path, tasks: dict[int, dict[str, Any]], **changes: Any) -> dict[int, str]:
    """Return "solid", "hollow" or "grey" for each task in the timeline of request 0, which arrived at 0 s."""
    writer = RunWriter(directory, {**HEADER, "schemes": [{"scheme": "none", "variant": "none"}]})
    writer.request(request(number=0, latency=0.04, **changes))
    for number, facts in tasks.items():
        writer.task(task(number=number, **{"sent": 0.001, "ended": 0.011, **facts}))
    writer.cell(cell())
    writer.finish("done")
    writer.close()
    ((plot,),) = timelines("k", load(directory), looks_of({"none": "none"}))
    found = {}
    for group in ElementTree.fromstring(plot).iter("g"):
        number = re.match(r"task (\d+),", group.findtext("title") or "")
        if number:
            classes = str(group.get("class")).split()
            found[int(number[1])] = "solid" if "used" in classes else "hollow" if "own" in classes else "grey"
    return found


def test_only_the_task_that_answered_a_request_is_solid(tmp_path):
    """A mosaic that answered another of its requests is hollow, and so is a copy that came too late."""
    tasks = {
        0: {"requests": "0", "ended": 0.04},
        1: {"requests": "0 1 2", "role": "collage", "ended": 0.05},
        2: {"requests": "0", "ended": 0.06, "outcome": "wasted"},
        3: {"requests": "1"},
    }
    assert drawn(tmp_path / "run", tasks, task=0) == {0: "solid", 1: "hollow", 2: "hollow", 3: "grey"}
    default = {"source": "default", "task": None, **dict.fromkeys((*SUMMED, "injected"))}
    assert set(drawn(tmp_path / "default", tasks, **default).values()) == {"hollow", "grey"}


def test_every_task_that_a_decoded_answer_needed_is_solid(tmp_path):
    """Coded tasks whose replies were used are solid; so are a parity and the singles of other requests that it used."""
    coded = {
        0: {"requests": "0 1", "role": "coded", "share": 0},
        1: {"requests": "0 1", "role": "coded", "share": 1, "ended": 0.04},
        2: {"requests": "0 1", "role": "coded", "share": 2, "ended": 0.05, "outcome": "cancelled in service"},
        3: {"requests": "2 3", "role": "coded"},
    }
    told = {0: "solid", 1: "solid", 2: "hollow", 3: "grey"}
    assert drawn(tmp_path / "coded", coded, source="coded", task=1) == told
    parity = {
        0: {"requests": "0", "ended": 0.05, "outcome": "cancelled in service"},
        1: {"requests": "1", "ended": 0.04},
        2: {"requests": "2"},
        3: {"requests": "3"},
        4: {"requests": "0 1 2", "role": "parity"},
        5: {"requests": "2", "ended": 0.05},
    }
    told = {0: "hollow", 1: "solid", 2: "solid", 3: "grey", 4: "solid", 5: "grey"}
    assert drawn(tmp_path / "parity", parity, source="parity", task=1) == told
