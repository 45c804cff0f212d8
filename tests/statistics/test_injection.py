"""Injected delays against those asked for: what is counted, and what is left out."""

from __future__ import annotations

import math

import pytest
from synthetic_run import HEADER, cell, request, task

from collagebench.report.summary import summarise
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter
from collagebench.statistics.injection import injection
from collagebench.statistics.validity import judge

SCHEMES = [{"scheme": "none", "variant": "none", "allotment": {"single": 10}, "options": {}}]
FLOORS = {**HEADER["service"], "mode": "floor"}


def run_of(directory, tasks, requests=None, **header):
    """Return a run with one task for each of `tasks`, which are changes to a default task."""
    writer = RunWriter(directory, {**HEADER, "service": FLOORS, "schemes": SCHEMES, **header})
    for number, changes in enumerate(tasks):
        if requests is None or number in requests:
            writer.request(request(number=number))
        writer.task(task(number=number, **changes))
    writer.cell(cell(requests=len(tasks) if requests is None else len(requests)))
    writer.finish("done")
    writer.close()
    return load(directory)


def floor(asked: float, compute: float, late: float = 0.0) -> dict[str, float]:
    """Return a task under a floor of `asked` seconds that ended `late` seconds too late."""
    wanted = max(asked, compute)
    return {"asked": asked, "compute": compute, "wanted_s": wanted, "service": wanted + late}


def test_quantiles_of_the_error(tmp_path):
    """Errors of 0.01 to 1 ms, too long or too short, have a p50 of 0.5 ms and a p99 of 0.99 ms."""
    off = [(-1) ** n * n * 1e-5 for n in range(1, 101)]
    found = injection(run_of(tmp_path / "run", [floor(0.1, 0.002, late) for late in off]))
    assert found.tasks == 100
    assert found.p50 == pytest.approx(0.0005)
    assert found.p99 == pytest.approx(0.00099)
    assert found.wanted == pytest.approx(0.1)
    assert found.beyond_floor == 0


def test_a_floor_below_inference_is_no_error_but_counted(tmp_path):
    """Inference longer than the floor is no error, but the task counts as beyond its floor."""
    run = run_of(tmp_path / "run", [floor(0.010, 0.002)] * 15 + [floor(0.010, 0.030)] * 5)
    found = injection(run)
    assert (found.p50, found.p99) == (0, 0)
    assert (found.beyond_floor, found.share) == (5, 0.25)
    assert judge(run) == []


def test_rounding_puts_no_task_beyond_its_floor(tmp_path):
    """A wanted service 1 µs above the floor, as records allow it to be off, is not beyond it; 3 µs are."""
    tasks = [floor(0.010, compute) for compute in (0.010001, 0.010003)]
    assert injection(run_of(tmp_path / "run", tasks)).beyond_floor == 1


def test_factors_and_delays_have_no_floor(tmp_path):
    """If draws are factors or delays, no task is beyond a floor."""
    for mode, asked in (("add", 0.001), ("scale", 1.5)):
        service = {**FLOORS, "mode": mode}
        run = run_of(tmp_path / mode, [{"asked": asked, "wanted_s": 0.003, "service": 0.003}] * 3, service=service)
        assert injection(run).beyond_floor is None
        assert injection(run).share is None


def test_tasks_without_a_service_are_left_out(tmp_path):
    """Tasks that were cancelled or lost neither count nor have an error."""
    lost = {"service": None, "compute": None, "queue": None, "injected": None, "outcome": "lost"}
    tasks = [floor(0.1, 0.002, 0.0003), {**lost, "wanted_s": None}, {**lost, "asked": None, "wanted_s": 0.1}]
    found = injection(run_of(tmp_path / "run", tasks, requests=[0]))
    assert found.tasks == 1
    assert found.p50 == found.p99 == pytest.approx(0.0003)


def test_erased_replies_are_left_out(tmp_path):
    """A draw that erases the reply asks for an infinite time, which is no error."""
    run = run_of(tmp_path / "run", [floor(0.1, 0.002, 0.0003)] * 3)
    for column, value in (("wanted_s", math.inf), ("asked", math.inf)):
        run.tasks.columns[column][0] = value
    assert injection(run).tasks == 2
    assert injection(run).p99 == pytest.approx(0.0003)


def test_no_task_is_no_figure(tmp_path):
    """If no task reported its service, every figure is unknown, and the run is not judged by it."""
    missing = {"service": None, "compute": None, "queue": None, "injected": None, "wanted_s": None}
    found = injection(run_of(tmp_path / "run", [missing] * 3))
    assert found == type(found)(0, None, None, None, None)
    assert judge(run_of(tmp_path / "again", [missing] * 3)) == []


def test_simulation_measures_nothing(tmp_path):
    """A simulated service has no error that could be measured; tasks beyond their floor are counted."""
    found = injection(run_of(tmp_path / "run", [floor(0.01, 0.02), floor(0.1, 0.02)], engine="simulated"))
    assert (found.p50, found.p99, found.beyond_floor) == (None, None, 1)


@pytest.mark.parametrize(
    ("wanted", "late", "valid"),
    [
        (0.100, 0.004, True),  # above 1 ms, but 4 %
        (0.100, 0.006, False),
        (0.010, 0.0009, True),  # 9 %, but below 1 ms
        (0.010, 0.0011, False),
    ],
)
def test_both_limits_must_be_exceeded(tmp_path, wanted, late, valid):
    """A median error above both 5 % and 1 ms makes a run INVALID; above only one of them it does not."""
    tasks = [floor(wanted, 0.002, late)] * 11 + [floor(wanted, 0.002)] * 9
    assert (judge(run_of(tmp_path / "run", tasks)) == []) == valid


def test_the_slow_tasks_must_be_slow(tmp_path):
    """Slow tasks that are not slowed down make a run INVALID, although the median of all tasks is right."""
    usual = [floor(0.04, 0.002)] * 90
    assert judge(run_of(tmp_path / "sound", usual + [floor(0.2, 0.002)] * 12)) == []
    (reason,) = judge(run_of(tmp_path / "tame", usual + [floor(0.2, 0.002, -0.15)] * 12))
    assert "service times of the slow tasks missed what the stragglers asked for by 150.0 ms" in reason


def test_every_worker_must_do_as_it_was_told(tmp_path):
    """One worker of ten that is not slowed down as asked makes a run INVALID, and is named."""
    tasks = [floor(0.04, 0.002, -0.03 if number % 10 == 7 else 0.0) for number in range(120)]
    (reason,) = judge(run_of(tmp_path / "run", tasks))
    assert "service times of worker 7 missed what the stragglers asked for by 30.0 ms" in reason


def test_json_has_it_for_every_scheme(tmp_path):
    """The JSON has the number of services, the quantiles of the error and the tasks beyond their floor."""
    report = summarise([run_of(tmp_path / "run", [floor(0.1, 0.002, 0.001)] * 3 + [floor(0.01, 0.02)])])
    (scheme,) = report["schemes"]
    assert scheme["injection"] == {
        "tasks": 4,
        "error_s": {"p50": pytest.approx(0.001), "p99": pytest.approx(0.001)},
        "beyond_floor": 1,
        "beyond_floor_share": 0.25,
    }
