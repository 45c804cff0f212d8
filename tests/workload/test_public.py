"""Public datasets, from files that are written here in torchvision's layout."""

from __future__ import annotations

import hashlib
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import exit_code
from idx import idx

from collagebench import zoo
from collagebench.cli.resolve import resolve
from collagebench.errors import DataError, UsageError
from collagebench.workload.dataset import open_dataset

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

datasets = pytest.importorskip("torchvision.datasets", reason="needs the train extra")
pytestmark = pytest.mark.train


def batch(path: Path, labels: str, count: int, seed: int) -> tuple[str, np.ndarray]:
    """Write a batch of CIFAR images; return its checksum and the pixels, [count, 32, 32, 3]."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(256, size=(count, 3, 32, 32), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"data": pixels.reshape(count, -1), labels: list(range(count))}))
    return hashlib.md5(path.read_bytes()).hexdigest(), pixels.transpose(0, 2, 3, 1)


def names(path: Path, key: str, classes: list[str]) -> str:
    """Write the names of the classes; return the file's checksum."""
    path.write_bytes(pickle.dumps({key: classes}))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, np.ndarray]]:
    """Write a small CIFAR-10 of two batches, and give torchvision its checksums."""
    folder = tmp_path / "files" / "cifar-10-batches-py"
    first, train = batch(folder / "data_batch_1", "labels", 6, 1)
    second, test = batch(folder / "test_batch", "labels", 4, 2)
    meta = names(folder / "batches.meta", "label_names", CIFAR10)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", first]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", second]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": meta})
    return tmp_path / "files", {"train": train, "test": test}


@pytest.mark.parametrize("split", ["train", "test"])
def test_cifar10_is_read_as_it_was_written(cifar10: tuple[Path, dict[str, np.ndarray]], split: str) -> None:
    """Pixels, labels, names and sizes are those of the files, in each split and in any order."""
    root, pixels = cifar10
    images = open_dataset("cifar10", root, split)
    assert (images.name, images.classes, images.size) == ("cifar10", tuple(CIFAR10), (32, 32, 3))
    assert images.labels.tolist() == list(range(len(pixels[split])))
    assert len(images) == len(pixels[split])
    assert np.array_equal(images.load(np.array([3, 0])), pixels[split][[3, 0]])


def test_the_shipped_models_know_the_classes_of_cifar10() -> None:
    """The bundled models for CIFAR-10 have torchvision's class names in torchvision's order."""
    models = [model for model in zoo.load() if model.dataset == "cifar10"]
    assert models
    assert {model.classes for model in models} == {tuple(CIFAR10)}
    assert {model.image for model in models} == {(32, 32, 3)}


def test_cifar100_has_its_fine_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-100 has its hundred fine labels."""
    folder = tmp_path / "cifar-100-python"
    train, _ = batch(folder / "train", "fine_labels", 5, 3)
    test, pixels = batch(folder / "test", "fine_labels", 5, 4)
    fine = [f"class {number:02}" for number in range(100)]
    meta = names(folder / "meta", "fine_label_names", fine)
    monkeypatch.setattr(datasets.CIFAR100, "train_list", [["train", train]])
    monkeypatch.setattr(datasets.CIFAR100, "test_list", [["test", test]])
    monkeypatch.setattr(datasets.CIFAR100, "meta", {**datasets.CIFAR100.meta, "md5": meta})
    images = open_dataset("cifar100", tmp_path)
    assert images.classes == tuple(fine)
    assert np.array_equal(images.load(np.arange(5)), pixels)


def test_clothes_keep_their_pixels_in_a_black_frame_of_two(tmp_path: Path) -> None:
    """Fashion-MNIST becomes RGB of 32x32 with the grey pixels in all channels, in a black frame of two pixels."""
    raw = tmp_path / "FashionMNIST" / "raw"
    rng = np.random.default_rng(0)
    grey = rng.integers(1, 256, size=(3, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        idx(raw / f"{part}-images-idx3-ubyte", grey)
        idx(raw / f"{part}-labels-idx1-ubyte", np.array([9, 0, 5]))
    images = open_dataset("fashion-mnist", tmp_path)
    assert images.classes[0] == "T-shirt/top"
    assert images.labels.tolist() == [9, 0, 5]
    pixels = images.load(np.arange(3))
    assert pixels.shape == (3, 32, 32, 3)
    assert all(np.array_equal(pixels[:, 2:-2, 2:-2, channel], grey) for channel in range(3))
    frame = pixels.copy()
    frame[:, 2:-2, 2:-2] = 0
    assert not frame.any()


def test_what_is_not_there_is_fetched_only_if_that_is_asked_for(tmp_path: Path) -> None:
    """Without its files a dataset is refused with a hint at --download, and nothing is written."""
    with pytest.raises(DataError, match=r"no complete cifar10 in .* add --download to fetch it"):
        open_dataset("cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_damaged_files_are_an_error(cifar10: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    """A damaged batch, truncated images, and too few labels are errors."""
    root, _ = cifar10
    broken = root / "cifar-10-batches-py" / "test_batch"
    broken.write_bytes(broken.read_bytes()[:-9])
    with pytest.raises(DataError, match="no complete cifar10"):
        open_dataset("cifar10", root)
    raw = tmp_path / "FashionMNIST" / "raw"
    for part in ("train", "t10k"):
        idx(raw / f"{part}-images-idx3-ubyte", np.zeros((3, 28, 28)))
        idx(raw / f"{part}-labels-idx1-ubyte", np.array([9, 0]))
    with pytest.raises(DataError, match="do not belong together"):
        open_dataset("fashion-mnist", tmp_path)
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    with pytest.raises(DataError, match="no complete fashion-mnist"):
        open_dataset("fashion-mnist", tmp_path)


def test_options_that_mean_nothing_are_refused(cifar10: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    """--download is refused for other datasets than public ones, and any size but 32x32 for those."""
    for call, words in (
        (partial(open_dataset, "shapes", download=True), "drop --download"),
        (partial(open_dataset, "imagefolder", tmp_path, download=True), "drop --download"),
        (partial(open_dataset, "cifar10", cifar10[0], size=(64, 64)), "32x32 pixels"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    assert open_dataset("cifar10", cifar10[0], size=(32, 32)).size == (32, 32, 3)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without logging."""

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a directory; yield its address and its path."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}", folder
        httpd.shutdown()
        thread.join()


def test_a_download_is_checked_and_kept(
    cifar10: tuple[Path, dict[str, np.ndarray]],
    server: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --download the archive is fetched once and checked, and read from the disk from then on."""
    (files, pixels), (url, served) = cifar10, server
    with tarfile.open(served / "cifar.tar.gz", "w:gz") as archive:
        archive.add(files / "cifar-10-batches-py", "cifar-10-batches-py")
    checksum = hashlib.md5((served / "cifar.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{url}/cifar.tar.gz")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", checksum)
    root = tmp_path / "new" / "cache"
    assert np.array_equal(open_dataset("cifar10", root, download=True).load(np.arange(4)), pixels["test"])
    (served / "cifar.tar.gz").unlink()
    assert len(open_dataset("cifar10", root, "train", download=True)) == 6
    assert capsys.readouterr().out == ""


def test_a_failed_download_is_one_sentence(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without the file, and a file in place of the directory, are errors of one sentence."""
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{server[0]}/nothing.tar.gz")
    with pytest.raises(DataError, match=r"cannot be downloaded to .*\(HTTP Error 404: File not found\)"):
        open_dataset("cifar10", tmp_path / "new", download=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be downloaded"):
        open_dataset("cifar10", tmp_path / "file", download=True)


def test_an_experiment_and_an_evaluation_run_on_public_images(
    cifar10: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`simulate` and `evaluate` use the bundled models on CIFAR-10, and --download accepts files that are there."""
    root, _ = cifar10
    images = ("--dataset", "cifar10", "--data", str(root))
    small = ("--scheme", "none", "--workers", "2", "--requests", "20", "--runs", "1", "--compute-time", "0.001")
    for arguments in (
        (
            "simulate",
            *images,
            *small,
            "--download",
            "--stragglers",
            "none",
            "--rate",
            "50",
            "--out",
            str(tmp_path / "run"),
        ),
        ("evaluate", "single", *images),
    ):
        assert exit_code(*arguments) in (0, 4)  # a run so short may be called INVALID
    shown = capsys.readouterr().out
    assert "images cifar10" in shown
    assert "4 of 4 test images of cifar10" in shown


def test_a_profile_may_ask_for_a_download(tmp_path: Path) -> None:
    """`download` in a profile must be true or false."""
    profile = tmp_path / "mine.toml"
    profile.write_text('dataset = "cifar10"\ndownload = true\n')
    assert resolve({"profile": str(profile)}).download is True
    profile.write_text('download = "yes"\n')
    with pytest.raises(UsageError, match="download must be true or false, not 'yes'"):
        resolve({"profile": str(profile)})
