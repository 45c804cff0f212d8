"""Answers to requests: encoded, classified and decoded through the engine, by models whose outputs are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from simulated_cell import Ledger, simulate

from collagebench.engine.evaluation import decode
from collagebench.engine.router import Job
from collagebench.results.records import NO_CLASS
from collagebench.schemes import make
from collagebench.schemes.protocol import Request, Scheme

SHAPE = (4, 4, 3)
CLASSES = 5
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(256, size=(64, *SHAPE), dtype=np.uint8)
WEIGHTS = RNG.normal(size=(48, CLASSES)).astype(np.float32) / 255


def linear(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """An exactly linear model: [batch, *SHAPE] to [batch, CLASSES]."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) @ WEIGHTS


def answered(name: str, options: dict[str, object], ledger: Ledger) -> dict[int, NDArray[np.float32]]:
    """Return the scores of each answered request, every role's model being the linear one."""
    codec = make(name, options)
    scores = {}
    for number, jobs in ledger.answers.items():
        for job in jobs:
            images = [IMAGES[request.image] for request in job.task.requests]
            job.outputs = linear(codec.encode(job.task, images, SHAPE))
        request = next(r for job in jobs for r in job.task.requests if r.id == number)
        scores[number] = codec.decode(request, [(job.task, job.outputs) for job in jobs if job.outputs is not None])
    return scores


def one_slow_worker(worker: int, request: int, attempt: int, at: float) -> float:
    """Draw 50 s for worker 1 and about 1 s for the others."""
    return 50.0 if worker == 1 else 1.0 + 0.01 * worker


@settings(deadline=None)
@given(
    options=st.sampled_from(
        [{"parity_k": k, "flush": flush} for k in (2, 3, 4, 8) for flush in ("wait", "deadline", "idle")]
    ),
    gaps=st.lists(st.floats(0, 0.4) | st.floats(0, 3), min_size=12, max_size=40),
)
def test_parity_with_an_exactly_linear_model_restores_every_output(
    options: dict[str, object], gaps: list[float]
) -> None:
    """With an exactly linear model, every answer, also a recovered one, is the single's output to within 1e-5."""
    ledger = simulate("parity", options, 6, np.cumsum(gaps).tolist(), one_slow_worker)
    for number, scores in answered("parity", options, ledger).items():
        assert scores == pytest.approx(linear(IMAGES[number][None])[0], abs=1e-5)


def test_parity_answers_for_a_slow_worker() -> None:
    """A request on a stuck worker is answered from the parity and its partner's reply, within 2 s instead of 50 s."""
    ledger = simulate("parity", {}, 6, [0.0, 0.001, 0.002, 0.003], one_slow_worker)
    (stuck,) = [number for number, source in ledger.source.items() if source == "parity"]
    assert ledger.latency[stuck] < 2
    assert [job.task.role for job in ledger.answers[stuck]] == ["parity", "single"]
    assert [request.id for request in ledger.answers[stuck][1].task.requests] != [stuck]


@pytest.mark.parametrize("k", [2, 3])
def test_an_output_from_before_its_group_went_out_is_there_when_it_is_needed(k: int) -> None:
    """If the last request of a group is stuck, it is answered from the parity and the group's earlier outputs.

    Requests come every 2 s and are served in 1 s, so those outputs are there before the group is complete.
    """
    arrivals = [2.0 * number for number in range(2 * k)]

    def draw(worker: int, request: int, attempt: int, at: float) -> float:
        return 50.0 if request == k - 1 and worker < 6 else 1.0

    ledger = simulate("parity", {"parity_k": k, "parity_workers": 1}, 7, arrivals, draw)
    assert [number for number, source in ledger.source.items() if source == "parity"] == [k - 1]
    parity, *singles = ledger.answers[k - 1]
    assert [request.id for request in parity.task.requests] == list(range(k))
    assert [job.task.requests[0].id for job in singles] == list(range(k - 1))
    assert [ledger.jobs[job.task.id].outcome for job in singles] == ["used"] * (k - 1)
    assert ledger.latency[k - 1] == 1.0
    (scores,) = [
        scores
        for number, scores in answered("parity", {"parity_k": k}, ledger).items()
        if ledger.source[number] == "parity"
    ]
    assert scores == pytest.approx(linear(IMAGES[k - 1][None])[0], abs=1e-5)


@pytest.mark.parametrize("name", ["approxifer", "nercc"])
def test_coded_inference_bears_a_slow_worker(name: str) -> None:
    """A group of four on five workers is answered from the four replies that are not the slow worker's."""
    options: dict[str, object] = {"coded_k": 4, "coded_s": 1}
    ledger = simulate(name, options, 5, [0.0, 0.1, 0.2, 0.3], one_slow_worker)
    assert set(ledger.source.values()) == {"coded"}
    assert max(ledger.latency.values()) < 2
    assert all(len(jobs) == 4 and all(job.worker != 1 for job in jobs) for jobs in ledger.answers.values())


@pytest.mark.parametrize("name", ["approxifer", "nercc"])
def test_a_coded_request_alone_gets_its_own_output(name: str) -> None:
    """A group of one is sent as copies of its image, so any reply is the model's own output."""
    options: dict[str, object] = {"coded_k": 4, "coded_s": 1, "flush": "deadline", "flush_after": 0.1}
    ledger = simulate(name, options, 5, [0.0, 10.0], one_slow_worker)
    for number, scores in answered(name, options, ledger).items():
        assert scores == pytest.approx(linear(IMAGES[number][None])[0], abs=1e-4)


def test_a_batch_of_backups_answers_each_with_its_own_row() -> None:
    """Each request of a batch gets the output of its own image."""
    options: dict[str, object] = {"backup_batch": 3, "flush": "wait"}
    ledger = simulate("backup", options, 3, [0.0, 0.01, 0.02], lambda worker, request, attempt, at: 9.0 - 4 * worker)
    assert "backup" in ledger.source.values()
    for number, scores in answered("backup", options, ledger).items():
        assert scores == pytest.approx(linear(IMAGES[number][None])[0], abs=1e-5)


def test_an_answer_without_a_task_is_the_most_frequent_class() -> None:
    """A default answer comes from no task: it is the prior, the most frequent class."""
    ledger = simulate("default", {"default_after": 0.5}, 1, [0.0], lambda worker, request, attempt, at: 2.0)
    assert ledger.answers[0] == []
    assert decode(make("default", {"default_after": 0.5}), [(Request(0, 0, 0.0), [])], prior=3) == [3]


def test_an_answer_that_is_not_computed_is_not_known() -> None:
    """An answer from a job without outputs is None, and one whose scores are NaN is NO_CLASS."""
    codec: Scheme = make("none", {})
    job = Job(codec.arrived(Request(0, 0, 0.0), 0.0)[0].task, 0, 0.0, 0.0, 0.0)  # type: ignore[union-attr]
    assert decode(codec, [(job.task.requests[0], [job])], prior=3) == [None]
    job.outputs = np.full((1, CLASSES), np.nan, np.float32)
    assert decode(codec, [(job.task.requests[0], [job])], prior=3) == [NO_CLASS]
    assert math.isnan(job.outputs[0, 0])
