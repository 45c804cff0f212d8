"""Images of one's own: which files are found, how they are fitted, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from collagebench.errors import DataError, UsageError
from collagebench.workload.dataset import fingerprint, open_dataset
from collagebench.workload.imagefolder import ImageFolder

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(path: Path, colour: tuple[int, int, int] = RED, size: tuple[int, int] = (8, 8)) -> Path:
    """Write an image of one colour, size = (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_classes_and_files_are_sorted_by_name(tmp_path: Path) -> None:
    """Folders are classes in the order of their names, and so are the files within; other files are no images."""
    picture(tmp_path / "zebra" / "a.png", BLUE)
    picture(tmp_path / "ant" / "b.PNG", GREEN)
    picture(tmp_path / "ant" / "a.png", RED)
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "README").write_text("no class")
    (tmp_path / ".cache").mkdir()
    images = ImageFolder(tmp_path)
    assert images.classes == ("ant", "zebra")
    assert images.labels.tolist() == [0, 0, 1]
    assert images.size == (8, 8, 3)
    assert images.load(np.array([2, 0, 1]))[:, 0, 0].tolist() == [list(BLUE), list(RED), list(GREEN)]


def test_the_asked_split_is_used_where_there_are_two(tmp_path: Path) -> None:
    """With train/ and test/ each holding class folders, only the asked one is read."""
    picture(tmp_path / "train" / "ant" / "a.png", RED)
    picture(tmp_path / "train" / "ant" / "b.png", RED)
    picture(tmp_path / "test" / "ant" / "a.png", GREEN)
    train, test = ImageFolder(tmp_path, "train"), ImageFolder(tmp_path, "test")
    assert (train.split, len(train), test.split, len(test)) == ("train", 2, "test", 1)
    assert test.load(np.array([0]))[0, 0, 0].tolist() == list(GREEN)


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    """Folders called train and test that hold images themselves are classes, not splits."""
    picture(tmp_path / "train" / "thomas.png")
    picture(tmp_path / "test" / "tube.png")
    images = ImageFolder(tmp_path)
    assert (images.split, images.classes) == (None, ("test", "train"))


def test_an_image_of_another_size_is_scaled_and_cut_to_its_centre(tmp_path: Path) -> None:
    """A wide image keeps its proportions and loses its sides."""
    (tmp_path / "ant").mkdir()
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    wide[:, :20] = 90
    Image.fromarray(wide).save(tmp_path / "ant" / "wide.png")
    (cut,) = ImageFolder(tmp_path, size=(10, 10)).load(np.array([0]))
    assert cut.shape == (10, 10, 3)
    assert (cut[:, 1:9] == 200).all()


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    """A fine pattern becomes its mean, not a choice of its pixels."""
    (tmp_path / "ant").mkdir()
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(tmp_path / "ant" / "stripes.png")
    (small,) = ImageFolder(tmp_path, size=(8, 8)).load(np.array([0]))
    assert np.abs(small[2:6, 2:6].astype(int) - 100).max() <= 3


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    """Every kind of image is read as three channels."""
    (tmp_path / "ant").mkdir()
    Image.new("L", (8, 8), 77).save(tmp_path / "ant" / "grey.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 128)).save(tmp_path / "ant" / "see-through.png")
    grey, clear = ImageFolder(tmp_path).load(np.array([0, 1]))
    assert grey[0, 0].tolist() == [77, 77, 77]
    assert clear[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_images_of_16_bits_keep_their_brightness(tmp_path: Path, suffix: str) -> None:
    """Half as bright as white is half as bright, not white; files made by systems, hidden ones, are none."""
    (tmp_path / "ant").mkdir()
    levels = np.array([[0, 256, 32768, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "ant" / f"a.{suffix}")
    (tmp_path / "ant" / f"._a.{suffix}").write_bytes(b"of the system")
    assert ImageFolder(tmp_path).load(np.array([0]))[0, 0].tolist() == [[level] * 3 for level in (0, 1, 128, 255)]


def test_images_of_floats_are_named(tmp_path: Path) -> None:
    """What is white in them is not known, so they are refused instead of being black."""
    (tmp_path / "ant").mkdir()
    Image.fromarray(np.array([[0.0, 1.0]], np.float32)).save(tmp_path / "ant" / "a.tiff")
    with pytest.raises(DataError, match=r"a\.tiff cannot be read \(its numbers are of 32 bits"):
        ImageFolder(tmp_path)


def test_half_a_split_is_no_class(tmp_path: Path) -> None:
    """train/ without test/, and an image beside class folders, are named; nothing is said to be removed."""
    picture(tmp_path / "one" / "train" / "ant" / "a.png")
    picture(tmp_path / "one" / "val" / "ant" / "a.png")
    with pytest.raises(DataError, match="one has class folders in train/, but no test/"):
        ImageFolder(tmp_path / "one")
    for place in ("train/ant/a.png", "test/ant/a.png", "train/stray.png"):
        picture(tmp_path / "two" / place)
    with pytest.raises(DataError, match=r"stray\.png lies beside class folders"):
        ImageFolder(tmp_path / "two", "train")
    picture(tmp_path / "flat" / "train" / "ant" / "a.png")
    picture(tmp_path / "flat" / "test" / "b.png")
    with pytest.raises(DataError, match=r"b\.png lies beside class folders, or in place of them"):
        ImageFolder(tmp_path / "flat")


def test_other_images_have_another_fingerprint(tmp_path: Path) -> None:
    """It is that of the same images anywhere, and not that of others, or of others' labels."""
    for place in ("a/ant/1", "a/bee/2", "b/ant/1", "b/bee/2", "c/ant/1", "c/bee/2", "d/ant/1", "d/ant/2", "d/bee/3"):
        picture(tmp_path / f"{place}.png", GREEN if place == "c/bee/2" else RED)
    one, same, other, more = (fingerprint(ImageFolder(tmp_path / name)) for name in "abcd")
    assert one == same
    assert len({one, other, more}) == 3


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    """An image that breaks off is named when it is read, not before."""
    picture(tmp_path / "ant" / "good.png")
    broken = picture(tmp_path / "bee" / "broken.jpg", size=(64, 64))
    broken.write_bytes(broken.read_bytes()[:400])
    images = ImageFolder(tmp_path)
    images.load(np.array([0]))
    with pytest.raises(DataError, match=r"bee/broken\.jpg cannot be read"):
        images.load(np.array([1]))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    """A text with an image's suffix is named as soon as its size is needed."""
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"ant/a\.jpg cannot be read"):
        ImageFolder(tmp_path)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    """An empty class folder would shift no label silently: it is an error."""
    picture(tmp_path / "ant" / "a.png")
    (tmp_path / "bee").mkdir()
    with pytest.raises(DataError, match=r"class folder .*bee holds no images"):
        ImageFolder(tmp_path)


def test_missing_and_empty_directories_are_named(tmp_path: Path) -> None:
    """A directory that is missing, is a file, or has no class folders gets its own sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="there is no directory"):
        ImageFolder(tmp_path / "missing")
    with pytest.raises(DataError, match="is no directory"):
        ImageFolder(tmp_path / "file")
    with pytest.raises(DataError, match="holds no class folders"):
        ImageFolder(tmp_path)


def test_open_dataset_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """Unknown names and splits, and options of another dataset, are usage errors."""
    for call, words in (
        (lambda: open_dataset("cats"), "unknown dataset 'cats'"),
        (lambda: open_dataset("shapes", split="valid"), "unknown split 'valid'"),
        (lambda: open_dataset("shapes", data=tmp_path), "drop --data"),
        (lambda: open_dataset("shapes", size=(64, 64)), "32x32"),
        (lambda: open_dataset("imagefolder"), "needs --data"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    assert open_dataset("shapes", size=(32, 32)).name == "shapes"
