"""Logs of arrivals: every form of a file gives the same times, and what is no time is refused by its line."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from collagebench.errors import DataError
from collagebench.workload.arrival_log import read_arrivals
from collagebench.workload.arrivals import facts_of

TIMES = [0.0, 0.25, 0.25, 2.5, 61.0]
"""The seconds that every file below stands for."""


def written(directory: Path, name: str, text: str) -> Path:
    """Write a file, compressed if its name says so, and return its path."""
    path = directory / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "# when\n7\n\n7.25\n7.25\n9.5\n68\n"),
        ("a.txt.gz", "7\n7.25\n7.25\n9.5\n68\n"),
        ("unsorted.txt", "9.5\n68\n7.25\n7\n7.25\n"),
        ("negative.txt", "-7\n-6.75\n-6.75\n-4.5\n54\n"),
        ("a.csv", "id,Arrival\n1,7\n2,7.25\n3,7.25\n4,9.5\n5,68\n"),
        ("several.csv", "time,timestamp,x\na,7,\nb,7.25,\nc,7.25,\nd,9.5,\ne,68,\n"),
        ("excel.csv", '\ufeff"TIMESTAMP","tokens"\r\n"7",1\r\n"7.25",1\r\n7.25,1\r\n9.5,1\r\n68,1\r\n'),
        (
            "azure.csv",
            "TIMESTAMP,ContextTokens\n2023-11-16 18:15:59.0000000,1\n2023-11-16 18:15:59.2500000,1\n"
            "2023-11-16 18:15:59.25,1\n2023-11-16T18:16:01.5Z,1\n2023-11-16 19:17:00+01:00,1\n",
        ),
    ],
)
def test_every_form_gives_the_same_times(tmp_path: Path, name: str, text: str) -> None:
    """Text, CSV and compressed files of seconds or dates, in any order, give ascending seconds from the first."""
    log = read_arrivals(written(tmp_path, name, text))
    assert log.times.tolist() == TIMES
    assert not log.whole_seconds
    assert log.rate == 4 / 61


def test_an_array(tmp_path: Path) -> None:
    """A NumPy file gives the same times, and integers are numbers, too."""
    np.save(tmp_path / "a.npy", np.array(TIMES, np.float32) + 7)
    assert read_arrivals(tmp_path / "a.npy").times.tolist() == TIMES
    np.save(tmp_path / "b.npy", np.array([10, 14, 12]))
    assert read_arrivals(tmp_path / "b.npy").times.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1\n2\nsoon\n", "line 3 of the arrivals FILE is 'soon', but must be a time: seconds"),
        ("1\nnan\n", "line 2 of the arrivals FILE is 'nan'"),
        ("time,x\n1,2\n,3\n", "line 3 of the arrivals FILE is ''"),
        (
            "1700000000123\n1700000000124\n",
            "line 1 of the arrivals FILE is '1700000000123', but must be a time: seconds",
        ),
        (
            "a,b\n1,2\n",
            "line 1 of the arrivals FILE has 2 columns: name that of the times arrival or timestamp or time",
        ),
        (
            "time;x\n1;2\n",
            "line 1 of the arrivals FILE is 'time;x', but must be a time: seconds, below 1e+11, or a date such as "
            "2026-03-01 09:30:00.25, or the names of columns, separated by commas, one of them arrival or timestamp or",
        ),
        ("time\n1,5\n2,5\n", "line 2 of the arrivals FILE has 2 columns, but the first line names 1"),
        ("0\n5e-324\n", "the arrivals FILE are all at the same time, which makes no rate"),
        ("60\n60\n180\n", "the arrivals FILE have whole minutes only, which hide all bursts: log seconds, or milli"),
        ("2026-03-01 09:30\n2026-03-01 09:30\n2026-03-01 09:31\n", "the arrivals FILE have whole minutes only"),
        ("5\n", "the arrivals FILE need at least two times, which make a rate; the file holds 1"),
        ("", "the arrivals FILE need at least two times, which make a rate; the file holds 0"),
        ("5.5\n5.5\n", "the arrivals FILE are all at the same time, which makes no rate"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """A value that is no time, a column without a name, and times without a rate or seconds are refused in words."""
    path = written(tmp_path, "log.csv", text)
    with pytest.raises(DataError) as error:
        read_arrivals(path)
    assert str(error.value).startswith(sentence.replace("FILE", str(path)))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a pipe, arrays that are empty, damaged, wide or coarse, and a false .gz file are refused."""
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "damaged.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "wide.npy", np.zeros((2, 3)))
    np.save(tmp_path / "late.npy", np.array([0, 1e12]))
    np.save(tmp_path / "coarse.npy", np.array([1.7e9, 1.7e9 + 200], np.float32))
    (tmp_path / "plain.gz").write_text("1\n2\n")
    for name, sentence in {
        "missing.txt": "cannot be read (No such file or directory)",
        "pipe.txt": "not a regular file",
        "damaged.npy": "is damaged, or is not a NumPy file of numbers",
        "empty.npy": "is damaged, or is not a NumPy file of numbers",
        "coarse.npy": "are float32 numbers, which are 128 s apart at this size: save float64",
        "plain.gz": "cannot be read (it is not a gzip file)",
        "wide.npy": "must hold numbers in one dimension",
        "late.npy": f"value 1 of the arrivals {tmp_path}/late.npy is 1000000000000.0, but must be a time",
    }.items():
        with pytest.raises(DataError) as error:
            read_arrivals(tmp_path / name)
        assert sentence in str(error.value)


def test_whole_seconds_are_filled(tmp_path: Path) -> None:
    """Times in whole seconds, some of them the same, are spread evenly at random within their seconds, and it is said.

    Where a time has a fraction, or no two are the same, all stay as they are.
    """
    counts = np.array([400, 1, 0, 300, 2])
    seconds = np.repeat(np.arange(5) + 1_700_000_000, counts)
    log = read_arrivals(written(tmp_path, "log.txt", "\n".join(map(str, seconds))))
    assert log.whole_seconds
    assert (np.diff(log.times) > 0).all()
    within = np.sort(log.times[:400])
    assert abs(within - np.linspace(within[0], within[-1], 400)).max() < 1.6 / np.sqrt(400), "Kolmogorov-Smirnov, 1 %"
    assert within[-1] - within[0] < 1
    assert log.times[401] - log.times[400] > 1, "nobody came in the third second"
    exact = read_arrivals(written(tmp_path, "exact.txt", "1\n2\n3.5\n3.5\n"))
    assert exact.times.tolist() == [0, 1, 2.5, 2.5]
    assert read_arrivals(written(tmp_path, "slow.txt", "1\n2\n4\n")).times.tolist() == [0, 1, 3]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A file is read once as long as it stays the same, and again after it was written to."""
    path = written(tmp_path, "log.txt", "1\n2\n")
    first = read_arrivals(path)
    assert read_arrivals(path) is first
    path.write_text("1\n2\n5\n")
    assert read_arrivals(path).times.tolist() == [0, 1, 4]
    facts = facts_of(str(path))
    assert facts is not None
    assert (facts["count"], facts["rate"], facts["whole_seconds"]) == (3, 0.5, False)
    assert facts["sha256"] != first.sha256
