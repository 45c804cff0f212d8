"""Hosts that were silent for a while, and what only looks like it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthetic_run import HEADER, cell, request, task

from collagebench.results.reader import Run, load
from collagebench.results.writer import RunWriter
from collagebench.statistics.silence import silences
from collagebench.statistics.warnings import warnings

FLEET = {"fleet": "ssh", "host": [{"address": "h1", "workers": None}, {"address": "h2", "workers": None}]}
"""Two hosts, the first of which has the workers with even numbers."""
REQUESTS = 200


def run_with(
    directory: Path,
    ways: Mapping[tuple[str, int], Callable[[int], float]] = {},
    lags: Mapping[tuple[str, int], float] = {},
    queued: bool = False,
    lost: bool = False,
    **config: Any,
) -> Run:
    """Return two runs of two schemes with a request every 100 ms, served in 10 ms by one of ten workers in turn.

    For each cell, `ways` gives the seconds that a task was in transit by its number (1 ms by default), and `lags`
    how late the client was once. If `queued`, that time was spent in the worker's queue instead; if `lost`, such a
    reply never came, and another task answered.
    """
    schemes = [
        {"scheme": name, "variant": name, "allotment": {"single": 10}, "options": {}} for name in ("none", "hedge")
    ]
    config = {**HEADER["config"], "runs": 2, "requests": REQUESTS, **FLEET, **config}
    writer = RunWriter(directory, {**HEADER, "schemes": schemes, "config": config})
    for scheme in ("none", "hedge"):
        for run in (0, 1):
            ended = 0.0
            for number in range(REQUESTS):
                way = ways.get((scheme, run), lambda number: 0.001)(number)
                sent, took = number / 10, 0.01 + way
                ended = max(ended, sent + took)
                lag = lags.get((scheme, run), 0.0) if number == 7 else 0.0
                changes = {"queue": 0.0, "service": 0.01, "transport": way, "lag": lag}
                writer.request(request(scheme, run, number, latency=took, arrival=sent, **changes))
                facts = {"worker": number % 10, "queue": way if queued else 0.0, "sent": sent, "ended": sent + took}
                facts["outcome"] = "dropped" if lost and way > 0.001 else "used"
                writer.task(task(scheme, run, number, **facts))
            writer.cell(cell(scheme, run, REQUESTS, duration=ended))
    writer.finish("done")
    writer.close()
    return load(directory)


def outage(number: int) -> float:
    """Return the seconds in transit if the first host's link is cut for three seconds, from 5 s on."""
    return max(8.0 - number / 10, 0.001) if number % 2 == 0 and 5.0 <= number / 10 < 8.0 else 0.001


def test_an_outage_is_named(tmp_path: Path) -> None:
    """A warning names the silent host with scheme, run and seconds, and no host whose link was not cut."""
    run = run_with(tmp_path / "run", {("hedge", 1): outage})
    found = silences(run)
    assert {host: list(silent) for host, silent in found.items()} == {"h1": [("hedge", 1)]}
    (text,) = [text for text in warnings(run) if "was silent" in text]
    assert text.startswith("h1 was silent for up to 3.0 s in run 1 of hedge: a p99 there reflects the network")


def test_a_sound_network_is_not_mentioned(tmp_path: Path) -> None:
    """A sound network is not mentioned, nor is one late reply while others of its host came."""
    assert silences(run_with(tmp_path / "sound")) == {}
    assert silences(run_with(tmp_path / "one", {("hedge", 1): lambda number: 1.5 if number == 50 else 0.001})) == {}


def test_workers_that_are_busy_are_not_silent(tmp_path: Path) -> None:
    """Replies that are three seconds late because their tasks queued say nothing about the network."""
    assert silences(run_with(tmp_path / "run", {("hedge", 1): outage}, queued=True)) == {}


def test_a_link_that_is_always_slow_is_no_outage(tmp_path: Path) -> None:
    """Delays in three of four cells are usual for that link, and no outage; in two of four they are one."""
    cells = [(scheme, number) for scheme in ("none", "hedge") for number in (0, 1)]
    assert silences(run_with(tmp_path / "run", dict.fromkeys(cells[:3], outage))) == {}
    assert silences(run_with(tmp_path / "two", dict.fromkeys(cells[:2], outage))).keys() == {"h1"}


def test_silences_that_are_not_the_hosts(tmp_path: Path) -> None:
    """There is no silence if the client did not listen, workers are stopped on purpose, or their hosts are unknown."""
    ways, cell = {("hedge", 1): outage}, ("hedge", 1)
    assert silences(run_with(tmp_path / "client", ways, {cell: 2.9})) == {}
    assert silences(run_with(tmp_path / "stopped", ways, stragglers="stop")) == {}
    assert silences(run_with(tmp_path / "ray", ways, fleet="ray")) == {}
    assert silences(run_with(tmp_path / "changed", ways, host=[])) == {}


def test_lost_replies_say_nothing_of_the_network(tmp_path: Path) -> None:
    """A reply that stragglers erase ends at its deadline, which is no sign of a host's silence."""
    assert silences(run_with(tmp_path / "run", {("hedge", 1): outage}, lost=True)) == {}


def test_slow_messages_are_the_cores_or_the_networks(tmp_path: Path) -> None:
    """Slow messages are blamed on the cores on this machine, and on the network or the hosts elsewhere."""
    slow = {(scheme, number): lambda number: 0.02 for scheme in ("none", "hedge") for number in (0, 1)}
    for fleet, begins in (("local", "the cores are too busy"), ("ssh", "the network or the hosts are too slow")):
        said = warnings(run_with(tmp_path / fleet, slow, fleet=fleet))
        (text,) = [text for text in said if "transport to the workers" in text]
        assert f"(none, hedge): {begins}" in text
