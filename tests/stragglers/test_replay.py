"""Replays of a trace keep the properties that they promise, and its mean exactly."""

from __future__ import annotations

import gzip
import io
import itertools
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from straggler_samples import drawn, levels, standard_errors

from collagebench.errors import DataError, UsageError
from collagebench.stragglers.drawn import Drawn
from collagebench.stragglers.logs import read_logs
from collagebench.stragglers.model import open_stragglers
from collagebench.stragglers.observed import autocorrelation
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.replay import Order, Replay, replay

PUBLISHED = {0.5: 0.138, 0.9: 0.189, 0.95: 0.215, 0.99: 0.702, 0.999: 0.770}
"""Quantiles of the authors' log, seconds, to the millisecond."""
LOGS = ((0.1, 0.2, 0.3, 0.4, 0.5), (1.1, 1.2, 1.3), (2.1, 2.2, 2.3, 2.4))
"""Three short logs; the integer part of a value says which log it is from."""


def small(order: Order, share: float = 0.2, block: int = 3) -> Replay:
    """Return a replay of the three short logs."""
    model = replay(LOGS, Levels(4, share), order, block, "floor", 1.0)
    assert isinstance(model, Replay)
    return model


@pytest.fixture(scope="module")
def trace() -> Path:
    """Return the authors' log, if it is available."""
    path = os.environ.get("COLLAGEBENCH_TRACE")
    if not path:
        pytest.skip("COLLAGEBENCH_TRACE does not name the authors' log of latencies")
    return Path(path)


@pytest.fixture(scope="module")
def raw(trace: Path) -> NDArray[np.float64]:
    """Return the values of the authors' log in seconds."""
    values: NDArray[np.float64] = np.load(trace)
    return values


def opened(trace: Path, order: Order, **parameters: Any) -> Any:
    """Return a replay of the authors' log, split into the logs of its machines."""
    given = {"trace": trace, "replay": order, "log_length": 2752, **parameters}
    return open_stragglers("trace", 5, 50, 1.0, given)


def test_iid_repeats_the_authors_log(trace: Path, raw: NDArray[np.float64]) -> None:
    """A million draws have the quantiles of the authors' log to the millisecond, and its mean, minimum and maximum."""
    model = opened(trace, "iid")
    assert isinstance(model, Drawn)
    sample = drawn(model.distribution.at, levels(5))
    for probability, seconds in PUBLISHED.items():
        assert model.distribution.at(probability) == pytest.approx(seconds, abs=0.0005)
        value = model.distribution.at(probability)
        assert standard_errors(sample, value, (raw < value).mean()) < 3
    assert (sample[0], sample[-1]) == pytest.approx((0.084, 1.039), abs=0.0005)
    assert (sample[0], sample[-1]) == (raw.min(), raw.max())
    assert model.mean == pytest.approx(0.154, abs=0.0005)
    assert abs(sample.mean() - raw.mean()) < 3 * raw.std() / math.sqrt(len(sample))
    assert [model.draw(0, 0, i, 0, 0.0) for i in range(9)] == list(map(model.distribution.at, levels(5, 10_000_0)[:9]))


def test_per_machine_keeps_the_medians(trace: Path, raw: NDArray[np.float64]) -> None:
    """50 workers are the 50 machines: their medians are the logs', one 0.702 s and the others 0.099 to 0.235 s."""
    model = opened(trace, "per-machine")
    logs = np.split(raw, range(2752, len(raw), 2752))
    medians = []
    for worker in range(50):
        draws = np.sort([model.draw(0, worker, i, 0, 0.0) for i in range(1000)])
        log = np.sort(logs[model.log(0, worker)])
        shares = np.searchsorted(log, draws) / len(log)
        assert np.abs(shares - (np.arange(1000) + 0.5) / 1000).max() < 2.2 / math.sqrt(1000)
        medians.append(np.median(draws))
    assert sorted(model.log(0, worker) for worker in range(50)) == list(range(50))
    rounded = np.round(sorted(medians), 3)
    assert rounded[-1] == pytest.approx(0.702, abs=0.002)
    assert rounded[0] == pytest.approx(0.099, abs=0.002)
    assert rounded[-2] == pytest.approx(0.235, abs=0.006)


def test_sequential_keeps_the_order(trace: Path, raw: NDArray[np.float64]) -> None:
    """A worker that serves every request reads its log in order from some place on, and starts over at its end.

    The logs of 50 workers, laid end to end, have the authors' lag-1 autocorrelation of 0.96, and each log keeps its
    own.
    """
    model = opened(trace, "sequential")
    logs = np.split(raw, range(2752, len(raw), 2752))
    read = [np.array([model.draw(0, worker, i, 0, 0.0) for i in range(2752)]) for worker in range(50)]
    for worker, values in enumerate(read):
        log = logs[model.log(0, worker)]
        start = np.flatnonzero([np.array_equal(np.roll(log, -k)[:50], values[:50]) for k in range(len(log))])
        assert len(start) == 1
        assert np.array_equal(np.resize(np.roll(log, -start[0]), 2752), values)
        own = [np.corrcoef(some, np.roll(some, 1))[0, 1] for some in (values, log)]
        assert own[0] == pytest.approx(own[1], abs=0.001)
    assert autocorrelation(np.concatenate(read)) == pytest.approx(autocorrelation(raw), abs=0.005)
    assert autocorrelation(raw) == pytest.approx(0.96, abs=0.005)


def test_block_keeps_neighbours(trace: Path, raw: NDArray[np.float64]) -> None:
    """Inside a block neighbouring draws are neighbours in the log, and the mean of all draws is the log's."""
    model = opened(trace, "block", block=20)
    neighbours = set(itertools.pairwise(raw.tolist()))
    for block in range(50):
        values = [model.draw(0, 3, 20 * block + i, 0, 0.0) for i in range(20)]
        assert len(set(itertools.pairwise(values)) - neighbours) <= 1  # where a log starts over
    blocks = np.array([[model.draw(run, 0, 20 * b, 0, 0.0) for b in range(20)] for run in range(1000)])
    assert abs(blocks.mean() - model.mean) < 3 * blocks.std() / math.sqrt(blocks.size)
    assert model.mean == pytest.approx(raw.mean())


def test_sequential_reads_a_log_round_and_round() -> None:
    """Request r reads place (offset + r) of the worker's log, modulo its length, at every attempt."""
    model = small("sequential")
    for worker in range(7):
        log = LOGS[model.log(0, worker)]
        read = [model.draw(0, worker, request, 0, 0.0) for request in range(20)]
        offset = log.index(read[0])
        assert read == [log[(offset + request) % len(log)] for request in range(20)]
        assert model.draw(0, worker, 4, 2, 9.0) == read[4]
    offsets = {(run, worker): model.draw(run, worker, 0, 0, 0.0) for run in range(200) for worker in range(3)}
    assert set(offsets.values()) == {value for log in LOGS for value in log}


def test_blocks_begin_anywhere() -> None:
    """Each block has a log and a place of its own, and all values are drawn equally often."""
    model = small("block")
    counts = dict.fromkeys((value for log in LOGS for value in log), 0)
    for run in range(4000):
        for request in range(6):
            counts[model.draw(run, 0, request, 0, 0.0)] += 1
        first = [model.draw(run, 0, request, 0, 0.0) for request in range(3)]
        log = LOGS[int(first[0])]
        place = log.index(first[0])
        assert first == [log[(place + i) % len(log)] for i in range(3)]
    expected = 4000 * 6 / 12
    # The three draws of a block are of one log, which makes the counts vary up to three times as much.
    assert max(abs(count - expected) for count in counts.values()) < 4 * math.sqrt(3 * expected)


@pytest.mark.parametrize("order", ["per-machine", "sequential"])
def test_logs_are_dealt_without_repetition(order: Order) -> None:
    """Three workers have the three logs, and so have the next three; each run deals them anew."""
    model = small(order)
    deals = [
        tuple(model.log(run, worker) for worker in range(start, start + 3)) for run in range(20) for start in (0, 3)
    ]
    assert all(sorted(deal) == [0, 1, 2] for deal in deals)
    assert len(set(deals)) == 6


@pytest.mark.parametrize("order", ["block", "per-machine", "sequential"])
def test_the_mean_is_exact(order: Order) -> None:
    """With stragglers and without, draws over 6,000 runs have the model's mean, within three standard errors."""
    model = small(order)
    bound = model.without()
    assert bound is not None
    assert bound.without() is None
    for some in (model, bound):
        draws = np.array([some.draw(run, run % 3, 7, 0, 0.0) for run in range(6000)])
        assert abs(draws.mean() - some.mean) < 3 * draws.std() / math.sqrt(len(draws))


@pytest.mark.parametrize("order", ["block", "per-machine", "sequential"])
def test_without_stragglers_only_slow_values_change(order: Order) -> None:
    """A value above the quantile is replaced by one that is not; all others stay."""
    model = small(order)
    bound = model.without()
    assert bound is not None
    assert model.limit == 2.2  # a fifth of twelve values is slow: two, and part of a third, which stays
    for run, worker, request in itertools.product(range(50), range(3), range(5)):
        before, after = model.draw(run, worker, request, 0, 0.0), bound.draw(run, worker, request, 0, 0.0)
        assert after == before if before <= 2.2 else after <= 2.2


def test_per_machine_slowness_can_last() -> None:
    """A worker draws from the upper share of its own log while it is slow, and otherwise from the rest."""
    model = replay((tuple(range(1, 11)), tuple(range(21, 31))), Levels(3, 0.2, 1.0), "per-machine", 1, "floor", 1.0)
    seen = set()
    for i in range(2000):
        slow = model.levels.is_slow(0, 0, i * 0.1)
        assert ((model.draw(0, 0, i, 0, i * 0.1) - 1) % 10 + 1 > 8) == slow
        seen.add(slow)
    assert seen == {True, False}


@pytest.mark.parametrize("order", ["iid", "block", "per-machine", "sequential"])
def test_scales(order: Order) -> None:
    """The time scale multiplies every draw; in mode scale a draw is a value over the median, at any time scale."""
    whole, tenth, factor = (
        replay(LOGS, Levels(3, 0.2), order, 3, *how) for how in (("floor", 1), ("add", 0.1), ("scale", 9))
    )
    for request in range(30):
        draw = whole.draw(0, 1, request, 0, 0.0)
        assert tenth.draw(0, 1, request, 0, 0.0) == pytest.approx(draw / 10)
        assert factor.draw(0, 1, request, 0, 0.0) == pytest.approx(draw / 1.2)
    assert (tenth.mode, factor.mode) == ("add", "scale")


def test_files(tmp_path: Path) -> None:
    """A NumPy file, a text with one value per line, and a CSV with columns, compressed or not, give the same logs."""
    np.save(tmp_path / "a.npy", np.array([0.5, 0.25, 1.0], dtype=np.float32))
    (tmp_path / "a.txt").write_text("# seconds\n0.5\n\n 0.25\n1e0\n")
    (tmp_path / "a.csv").write_text("seconds,note\n0.5,x\n0.25,y\n1.0,\n")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    for name in ("a.npy", "a.txt", "a.csv", "c.csv.gz"):
        assert read_logs(tmp_path / name) == ((0.5, 0.25, 1.0),)
        assert read_logs(tmp_path / name, 2) == ((0.5, 0.25), (1.0,))
    (tmp_path / "b.csv").write_text("machine,seconds\nfast,0.5\nslow,7\nfast,0.25\n")
    assert read_logs(tmp_path / "b.csv") == ((0.5, 0.25), (7.0,))


def npy_with(header: bytes) -> bytes:
    """Return a NumPy file of version 1 with this header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def several_arrays() -> bytes:
    """Return the content of a NumPy file of several arrays."""
    file = io.BytesIO()
    np.savez(file, first=np.ones(2), second=np.ones(2))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "cannot be read"),
        ("empty.txt", b"", "holds no value"),
        ("comment.txt", b"# nothing\n", "holds no value"),
        ("header.csv", b"machine,seconds\n", "holds no value"),
        ("word.txt", b"0.5\nfast\n", "line 2 .* not 'fast'"),
        ("below.txt", b"0.5\n\n-1\n", "line 3 .* not '-1'"),
        ("zero.txt", b"0\n", "line 1 .* not '0'"),
        ("nan.txt", b"nan\n", "line 1 .* not 'nan'"),
        ("endless.txt", b"inf\n", "line 1 .* not 'inf'"),
        ("two.txt", b"0.5 0.6\n", "line 1"),
        ("two.csv", b"0.5,0.6\n", "line 1 .* not '0.5,0.6'"),
        ("short.csv", b"machine,seconds\na,1\nb\n", "line 3"),
        ("joined.csv", b"machine,seconds\na,1\na,0.a,1\n", "line 3 .* has 3 columns, but its header has 2: repair"),
        ("bytes.txt", b"\xff\xfe\x00", "neither a .npy file nor text"),
        ("text.npy", b"0.5\n", "is damaged, or is not a NumPy file of numbers$"),
        ("arrays.npy", several_arrays(), "is damaged, or is not a NumPy file of numbers$"),
        ("cut.npy", b"PK\x03\x04", "is damaged, or is not a NumPy file of numbers$"),
        (
            "header.npy",
            npy_with(b"{'descr': '<f8', 'fortran_order': False, 'sha'e': (30,),0}"),
            "is damaged, or is not a NumPy",
        ),
        ("long.csv", b"1" * 200_000 + b"\n", "is not text with one value per line"),
        ("text.gz", b"0.5\n", "cannot be read"),
        ("half.gz", gzip.compress(b"0.5\n" * 999, mtime=0)[:30], "truncated or damaged"),
    ],
    ids=str,
)
def test_a_file_that_is_no_trace(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    """A missing, empty or invalid file is refused in one sentence with its name, and the line if there is one."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        read_logs(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_device_is_no_trace() -> None:
    """A device is refused before it is read, because it may have no end."""
    with pytest.raises(DataError, match=r"/dev/null cannot be read \(it is not a regular file\)"):
        read_logs(Path("/dev/null"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((2, 2)), "one dimension"),
        (np.array(["a"]), "numbers in one dimension"),
        (np.array([1.0, np.nan]), "value 1 .* nan"),
        (np.array([0.0]), "value 0 .* 0.0"),
        (np.array([]), "holds no value"),
        (np.array([{}]), "is damaged, or is not a NumPy file of numbers$"),
    ],
    ids=str,
)
def test_an_array_that_is_no_trace(values: NDArray[Any], words: str, tmp_path: Path) -> None:
    """An array of another shape, type or range is refused in one sentence."""
    np.save(tmp_path / "trace.npy", values)
    with pytest.raises(DataError, match=words):
        read_logs(tmp_path / "trace.npy")


def test_logs_that_are_named_are_not_cut(tmp_path: Path) -> None:
    """--log-length is refused for a file with a column that says whose each value is."""
    (tmp_path / "b.csv").write_text("machine,seconds\nonly,0.5\nonly,7\n")
    with pytest.raises(UsageError, match="--log-length has no effect"):
        read_logs(tmp_path / "b.csv", 1)
