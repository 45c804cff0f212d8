"""Fleets, clients and machines at their limits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic_run import HEADER, cell, lognormal, make_run, request, task

from collagebench.results.reader import load
from collagebench.results.table import Table
from collagebench.results.writer import RunWriter
from collagebench.statistics.strain import client_share, own_stragglers, saturated, slow_transport
from collagebench.statistics.warnings import warnings


def tasks(**columns):
    """Return 1,000 tasks of singles, one every 10 ms, served in 10 ms as asked, 1 ms of it inference, with changes."""
    plain = {"service": 0.01, "wanted_s": 0.01, "compute": 0.001, "queue": 0.0, "sent": 0.01 * np.arange(1000)}
    whole = {
        name: np.broadcast_to(np.asarray(columns.get(name, value)), 1000).astype(float) for name, value in plain.items()
    }
    return Table(
        {**whole, "role": np.asarray(columns.get("role", np.zeros(1000, int))), "run": np.zeros(1000, int)},
        {"role": ["single", "collage"]},
    )


def arriving(seconds, group=0.0):
    """Return the first and the last request of a run that arrive `seconds` apart, each sent after `group` seconds."""
    columns = {"run": np.zeros(2, int), "arrival": np.array([0.0, seconds]), "group": np.full(2, group)}
    return Table({**columns, "source": np.zeros(2, int)}, {"source": ["own"]})


def cells(seconds, cpu=0.1):
    """Return one cell of this length."""
    return Table({"duration": np.array([seconds]), "client_cpu": np.array([cpu])}, {})


def test_saturated_role():
    """A role that is busy for 100 of 105 s while tasks wait is saturated, although the fleet as a whole is not."""
    role = np.where(np.arange(1000) < 500, 1, 0)
    service, queue = np.where(role == 1, 0.2, 0.01), np.where(role == 1, 0.5, 0.0)
    sent = 0.1 * np.arange(1000)
    asked = tasks(service=service, queue=queue, role=role, sent=sent)
    assert saturated(asked, arriving(105.0), {"single": 9, "collage": 1}) == {"collage": pytest.approx(100 / 105)}


@pytest.mark.parametrize(("seconds", "queue"), [(10.5, 0.001), (20.0, 0.02)])
def test_busy_without_queue_and_queue_without_load_are_no_saturation(seconds, queue):
    """A busy role without a queue, and a queue at a load of one half, are not saturation."""
    assert saturated(tasks(queue=queue), arriving(seconds), {"single": 1}) == {}


def test_a_queue_before_all_workers_is_one():
    """Singles are saturated if requests wait to be sent, though none waits at a worker; other roles are not."""
    found = saturated(tasks(), arriving(10.5, group=0.02), {"single": 1})
    assert found == {"single": pytest.approx(10.0 / 10.5)}
    assert saturated(tasks(role=np.ones(1000, int)), arriving(10.5, group=0.02), {"collage": 1}) == {}


@pytest.mark.parametrize(("every", "words"), [(0.104, "latencies depend on the"), (0.12, "")])
def test_a_queue_that_seldom_empties_is_worth_a_word(tmp_path, every, words):
    """Above 90 % busy a warning says that latencies depend on the run's length.

    How long the last task delays the end of the run does not matter.
    """
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": [{"scheme": "none", "allotment": {"single": 10}}]})
    for number in range(1250):
        at = every * number
        writer.request(request(number=number, arrival=at))
        writer.task(task(number=number, service=1.0, wanted_s=1.0, queue=0.8, sent=at, ended=at + 1.9))
    writer.cell(cell(requests=1250, duration=1000.0))
    writer.finish("done")
    writer.close()
    found = [text for text in warnings(load(tmp_path / "run")) if "while tasks waited" in text]
    assert [words in text for text in found] == [True] * bool(words)


def test_machine_as_the_straggler():
    """Ten of 1,000 inferences that take 50 ms unasked are 1 % stragglers; delays that were asked for are none."""
    slow = np.arange(1000) < 10
    assert own_stragglers(tasks(compute=np.where(slow, 0.05, 0.001), service=np.where(slow, 0.05, 0.01))) == 0.01
    assert own_stragglers(tasks(service=np.where(slow, 0.05, 0.01))) == 0.01
    asked = np.where(slow, 0.05, 0.01)
    assert own_stragglers(tasks(service=asked, wanted_s=asked)) is None
    assert own_stragglers(tasks(service=np.nan)) is None


def test_each_role_is_measured_by_its_own_services():
    """A role with longer services than another neither counts as a straggler nor hides the other's stragglers."""
    role = np.where(np.arange(1000) < 500, 1, 0)
    asked = np.where(role == 1, 0.05, 0.01)
    taken = np.where(np.arange(1000) < 990, asked, 0.045)
    assert own_stragglers(tasks(service=taken, wanted_s=asked, role=role)) == 0.01
    lost = np.where(np.arange(1000) < 990, asked, np.nan)
    assert own_stragglers(tasks(service=lost, wanted_s=asked, compute=asked, role=role)) is None


@pytest.mark.parametrize(("slow", "found"), [(5, None), (6, 0.006)])
def test_a_few_stragglers_of_its_own_are_no_matter(slow, found):
    """Five stragglers of the machine in 1,000 tasks are not mentioned; six are."""
    assert own_stragglers(tasks(compute=np.where(np.arange(1000) < slow, 0.05, 0.001))) == found


def test_client_that_needs_its_core():
    """A client that uses 85 CPU seconds in 100 is named, one that uses 75 is not, nor one whose use is unknown."""
    assert client_share(cells(100.0, 85.0)) == pytest.approx(0.85)
    assert client_share(cells(100.0, 75.0)) is None
    assert client_share(cells(100.0, np.nan)) is None


def test_slow_messages():
    """A p99 of transport of 15 ms is slow beside a median latency of 20 ms, and one of 5 ms is not."""
    transport = np.where(np.arange(1000) < 20, 0.015, 0.0005)
    columns = {"warmup": np.zeros(1000, bool), "latency": np.full(1000, 0.02), "transport": transport}
    assert slow_transport(Table(columns, {})) == 0.015
    assert slow_transport(Table({**columns, "transport": transport / 3}, {})) is None


def test_a_machine_that_was_busy_before_is_said(tmp_path):
    """A load average above the number of cores at the start is a warning in a live run, but not in a simulated one."""
    environment = {"load_average": [4.2, 1.0, 1.0], "affinity_cores": 4, "cpu_quota_cores": 2.0}
    for engine in ("live", "simulated"):
        header = {"environment": environment, "engine": engine}
        run = load(make_run(tmp_path / engine, {"none": lognormal(1, 4, 250)}, header=header))
        found = [text for text in warnings(run) if "load average was 4.2 on 2 cores" in text]
        assert len(found) == (engine == "live")


def test_short_runs_compare_maxima(tmp_path):
    """A warning says that each run's p99 is its maximum if ten runs have only 80 requests each."""
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 10, 80)}))
    assert [text for text in warnings(run) if "(none 80), each run's p99 is its maximum" in text]


def test_every_warning_names_a_next_step(tmp_path):
    """Every warning of a run with several problems says what to do or where to look."""
    directory = make_run(
        tmp_path / "run",
        {"none": [[0.05] * 60 + [0.02] * 140 + [None]] * 3},
        header={"environment": {"load_average": [9.0, 9.0, 9.0], "logical_cores": 2}},
    )
    found = warnings(load(directory))
    assert len(found) >= 3, json.dumps(found)
    for text in found:
        assert any(word in text for word in ("raise ", "lower ", "run nothing else", "use ", "says why", "give ")), text


def test_a_load_that_was_not_met_is_said(tmp_path):
    """A warning gives the actual load if services without redundancy took another time than the rate was chosen for."""
    asked = {"service": {"mean_s": 0.02, "utilisation": 0.5, "rate": 250.0}}
    latencies = {"hedge": lognormal(1, 4, 250), "none": lognormal(2, 4, 250)}
    (said,) = [
        text for text in warnings(load(make_run(tmp_path / "other", latencies, header=asked))) if "the load" in text
    ]
    assert "was 0.25, not 0.50, because services took 10 ms on average instead of 20" in said
    assert "): raise --utilisation, or raise --requests" in said
    more = {"config": {"rate": 625.0}, "service": {"mean_s": 0.008, "utilisation": 0.5, "rate": 625.0}}
    (said,) = [
        text for text in warnings(load(make_run(tmp_path / "more", latencies, header=more))) if "the load" in text
    ]
    assert "was 0.63, not 0.50" in said or "was 0.62, not 0.50" in said
    assert "): lower --rate, or raise --requests" in said
    natural = {**more, "config": {"rate": 625.0, "stragglers": "corunner"}}
    assert not any("the load" in text for text in warnings(load(make_run(tmp_path / "n", latencies, header=natural))))
    met = {"service": {"mean_s": 0.0105, "utilisation": 0.5, "rate": 0.5 * 10 / 0.0105}}
    for number, (header, schemes) in enumerate(((met, latencies), (asked, {"hedge": latencies["hedge"]}))):
        run = load(make_run(tmp_path / str(number), schemes, header=header))
        assert not any("the load" in text for text in warnings(run))
