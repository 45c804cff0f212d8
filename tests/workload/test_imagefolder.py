"""A user's own images: which files are found, how they are resized, and how unusable ones are reported."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
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
    """Folders are classes in the order of their names, and so are their files; other files are ignored."""
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


@pytest.mark.parametrize("white", [4095, 65535])
@pytest.mark.parametrize("plain", [False, True])
def test_grey_levels_of_a_pgm_file_are_relative_to_its_white(tmp_path: Path, white: int, plain: bool) -> None:
    """PGM files of 12 and 16 bits, binary and in text, are brought to 8 bits."""
    (tmp_path / "ant").mkdir()
    levels = np.array([0, white // 4, white // 2, white])
    content = " ".join(map(str, levels)).encode() if plain else levels.astype(">u2").tobytes()
    (tmp_path / "ant" / "a.pgm").write_bytes(b"P%d 4 1 %d\n" % (2 if plain else 5, white) + content)
    assert ImageFolder(tmp_path).load(np.array([0]))[0, 0, :, 1].tolist() == [0, 63, 127, 255]


def test_the_asked_split_is_used_where_there_are_two(tmp_path: Path) -> None:
    """If train/ and test/ both hold class folders, only the split asked for is read."""
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
    """A wide image is scaled in proportion and cut to its centre."""
    (tmp_path / "ant").mkdir()
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    wide[:, :20] = 90
    Image.fromarray(wide).save(tmp_path / "ant" / "wide.png")
    (cut,) = ImageFolder(tmp_path, size=(10, 10)).load(np.array([0]))
    assert cut.shape == (10, 10, 3)
    assert (cut[:, 1:9] == 200).all()


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    """A fine pattern is scaled down to its mean, not to some of its pixels."""
    (tmp_path / "ant").mkdir()
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(tmp_path / "ant" / "stripes.png")
    (small,) = ImageFolder(tmp_path, size=(8, 8)).load(np.array([0]))
    assert np.abs(small[2:6, 2:6].astype(int) - 100).max() <= 3


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    """Grey and transparent images are read as RGB."""
    (tmp_path / "ant").mkdir()
    Image.new("L", (8, 8), 77).save(tmp_path / "ant" / "grey.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 128)).save(tmp_path / "ant" / "see-through.png")
    grey, clear = ImageFolder(tmp_path).load(np.array([0, 1]))
    assert grey[0, 0].tolist() == [77, 77, 77]
    assert clear[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_images_of_16_bits_keep_their_brightness(tmp_path: Path, suffix: str) -> None:
    """Images of 16 bits are scaled to 8 bits, and hidden files of the system are ignored."""
    (tmp_path / "ant").mkdir()
    levels = np.array([[0, 256, 32768, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "ant" / f"a.{suffix}")
    (tmp_path / "ant" / f"._a.{suffix}").write_bytes(b"of the system")
    assert ImageFolder(tmp_path).load(np.array([0]))[0, 0].tolist() == [[level] * 3 for level in (0, 1, 128, 255)]


def test_images_of_floats_are_named(tmp_path: Path) -> None:
    """Images of floats are refused, because the value of white is not known."""
    (tmp_path / "ant").mkdir()
    Image.fromarray(np.array([[0.0, 1.0]], np.float32)).save(tmp_path / "ant" / "a.tiff")
    with pytest.raises(DataError, match=r"a\.tiff cannot be read \(it has 32-bit pixels"):
        ImageFolder(tmp_path)


def test_half_a_split_is_no_class(tmp_path: Path) -> None:
    """Only one of train/ and test/, or an image beside class folders, is refused without advice to remove it."""
    picture(tmp_path / "one" / "train" / "ant" / "a.png")
    with pytest.raises(DataError, match="one has class folders in train/, but no test/: move some images") as refused:
        ImageFolder(tmp_path / "one")
    assert "use" not in str(refused.value).removeprefix(str(tmp_path)), "training images are none to measure on"
    picture(tmp_path / "other" / "test" / "ant" / "a.png")
    with pytest.raises(DataError, match=r"no train/: training needs both; to measure only, use .*/test$"):
        ImageFolder(tmp_path / "other")
    for place in ("train/ant/a.png", "test/ant/a.png", "train/stray.png"):
        picture(tmp_path / "two" / place)
    with pytest.raises(DataError, match=r"stray\.png lies beside class folders"):
        ImageFolder(tmp_path / "two", "train")
    picture(tmp_path / "flat" / "train" / "ant" / "a.png")
    picture(tmp_path / "flat" / "test" / "b.png")
    with pytest.raises(DataError, match=r"b\.png lies beside class folders, or in place of them"):
        ImageFolder(tmp_path / "flat")


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [
        ("train", "val", r"class folders in val/, but no test/: .*; rename \S+/val to test, or link it there"),
        ("train", "Validation", r"rename \S+/Validation to test, or link it there"),
        ("Train", "test", r"must be called train/ and test/; rename \S+/Train to train"),
        ("Train", "Test", r"must be called train/ and test/; rename \S+/Test to test"),
    ],
)
def test_parts_by_other_names_are_to_be_renamed(tmp_path: Path, train: str, test: str, words: str) -> None:
    """Splits with other names, such as val/, are refused with the name to rename them to."""
    for part in (train, test):
        picture(tmp_path / part / "ant" / "a.png")
    with pytest.raises(DataError, match=words):
        ImageFolder(tmp_path)
    for part, name in ((train, "train"), (test, "test")):
        (tmp_path / part).rename(tmp_path / name)
    assert ImageFolder(tmp_path, "train").split == "train"


@pytest.mark.parametrize("linked", ["test", "test/ant"])
def test_one_folder_is_not_both_parts(tmp_path: Path, linked: str) -> None:
    """A test split, or a class of it, that is a link to training images is refused."""
    for place in ("train/ant/a.png", "train/bee/b.png", "else/bee/c.png"):
        picture(tmp_path / place)
    if linked == "test":
        (tmp_path / "test").symlink_to("train")
    else:
        (tmp_path / "else").rename(tmp_path / "test")
        (tmp_path / "test" / "ant").symlink_to("../train/ant")
    with pytest.raises(
        DataError, match=r"train/ant and \S+/test/ant are the same folder: images that a model was trained on"
    ):
        ImageFolder(tmp_path, "train")


def test_a_part_for_validation_beside_both_others_is_left_alone(tmp_path: Path) -> None:
    """A folder val/ beside train/ and test/ is ignored."""
    for part in ("train", "test", "val"):
        picture(tmp_path / part / "ant" / f"{part}.png")
    assert ImageFolder(tmp_path).classes == ("ant",)


def test_classes_hold_the_images_of_the_folders_within(tmp_path: Path) -> None:
    """Images in subfolders belong to the class, in torchvision's order, without hidden ones or cycles of links."""
    places = ("b.png", "c/z.jpg", "c-d/a.pgm", "c/e/a.jfif", "a.PNG")
    for k, place in enumerate(places):
        path = tmp_path / "ant" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8), 40 * k, np.uint8)
        Image.fromarray(pixels).save(path, format={"jpg": "JPEG", "jfif": "JPEG", "pgm": "PPM"}.get(path.suffix[1:]))
    picture(tmp_path / "ant" / ".thumbnails" / "a.png")
    (tmp_path / "ant" / "c" / "up").symlink_to(tmp_path / "ant", target_is_directory=True)
    images = ImageFolder(tmp_path)
    assert len(images) == 5
    found = images.load(np.arange(5))[:, 0, 0, 0]
    assert found.tolist() == [160, 0, 40, 80, 120]


def test_links_lead_nowhere_twice(tmp_path: Path) -> None:
    """Folders in a class that link to each other have each image once."""
    for name in ("p", "q", "r"):
        picture(tmp_path / "x" / name / f"{name}.png")
    for one in ("p", "q", "r"):
        for other in {"p", "q", "r"} - {one}:
            (tmp_path / "x" / one / f"to-{other}").symlink_to(Path("..", other))
    assert len(ImageFolder(tmp_path)) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anywhere")
def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path) -> None:
    """A folder that can be listed but not entered is refused in one sentence."""
    picture(tmp_path / "x" / "a.png")
    (tmp_path / "x").chmod(0o644)
    try:
        with pytest.raises(DataError, match=r"a\.png cannot be read \(Permission denied\)"):
            ImageFolder(tmp_path)
    finally:
        (tmp_path / "x").chmod(0o755)


def test_other_images_have_another_fingerprint(tmp_path: Path) -> None:
    """The fingerprint is the same for the same images anywhere, and differs for other images or labels."""
    for place in ("a/ant/1", "a/bee/2", "b/ant/1", "b/bee/2", "c/ant/1", "c/bee/2", "d/ant/1", "d/ant/2", "d/bee/3"):
        picture(tmp_path / f"{place}.png", GREEN if place == "c/bee/2" else RED)
    one, same, other, more = (fingerprint(ImageFolder(tmp_path / name)) for name in "abcd")
    assert one == same
    assert len({one, other, more}) == 3


def test_one_replaced_or_renamed_file_of_many_changes_the_fingerprint(tmp_path: Path) -> None:
    """The fingerprint covers the name and size of every file, not only the images that it samples."""
    for k in range(1200):
        picture(tmp_path / "ant" / f"{k:04}.png")
    before = fingerprint(ImageFolder(tmp_path))
    one = tmp_path / "ant" / "0001.png"
    one.write_bytes(one.read_bytes() + b"more")
    replaced = fingerprint(ImageFolder(tmp_path))
    one.rename(tmp_path / "ant" / "0001a.png")
    assert len({before, replaced, fingerprint(ImageFolder(tmp_path))}) == 3


def test_a_glance_finds_what_is_no_image_and_passes_what_can_be_read(tmp_path: Path) -> None:
    """`glance` names a text and an image with a wrong checksum, and accepts one that lacks only its end."""
    picture(tmp_path / "ant" / "a.png")
    path = picture(tmp_path / "bee" / "b.png")
    whole = path.read_bytes()
    images = ImageFolder(tmp_path)
    place = whole.index(b"IDAT") + 6
    for content in (whole, whole[:-12]):  # the closing chunk has no pixels
        path.write_bytes(content)
        images.glance()
    for content in (b"text", whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"bee/b\.png cannot be read"):
            images.glance()


def test_a_corrupt_image_is_named(tmp_path: Path) -> None:
    """A truncated image is named when it is read, not before, in plain words."""
    picture(tmp_path / "ant" / "good.png")
    broken = picture(tmp_path / "bee" / "broken.jpg", size=(64, 64))
    broken.write_bytes(broken.read_bytes()[:400])
    images = ImageFolder(tmp_path)
    images.load(np.array([0]))
    with pytest.raises(DataError, match=r"bee/broken\.jpg cannot be read \(it is cut off\); repair or remove it$"):
        images.load(np.array([1]))


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a.png": (lambda whole: whole.replace(b"IDAT", b"IDAT\xff"), "it is damaged"),
    "b.ppm": (lambda whole: b"P6 60000 60000 255\n", "it has, or pretends to have, far too many pixels"),
    "c.tiff": (lambda whole: whole[:4] + b"\xff" * 4, "it is empty, damaged at its beginning, or no image"),
    "d.bmp": (lambda whole: b"", "it is empty, damaged at its beginning, or no image"),
    "e.bmp": (lambda whole: whole[:-9], "it is cut off"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_wrong_with_an_image_is_said_in_plain_words(tmp_path: Path, name: str) -> None:
    """What a decoder cannot read is named with what is wrong, without the decoder's words, and what to do."""
    damage, why = DAMAGE[name]
    picture(tmp_path / "ant" / "good.png")
    path = picture(tmp_path / "bee" / name)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"^image {path} cannot be read \({why}\); repair or remove it$"):
        ImageFolder(tmp_path).load(np.array([1]))


def test_an_error_of_the_disk_is_said_in_its_words(tmp_path: Path) -> None:
    """An image that the system cannot read is named with the system's reason, without a number."""
    picture(tmp_path / "ant" / "a.png")
    (tmp_path / "ant" / "b.png").symlink_to("/proc/self/mem")
    with pytest.raises(DataError, match=r"b\.png cannot be read \(Input/output error\); repair or remove it$"):
        ImageFolder(tmp_path).load(np.array([1]))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    """A text with an image's suffix is named as soon as its size is needed."""
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "a.jpg").write_text("no image")
    with pytest.raises(DataError, match=r"ant/a\.jpg cannot be read \(it is empty, damaged at its beginning, or no im"):
        ImageFolder(tmp_path)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    """A class folder without images, which would shift labels, is refused with the kinds of files in it.

    Only an empty one may be removed.
    """
    picture(tmp_path / "ant" / "a.png")
    (tmp_path / "bee" / "within").mkdir(parents=True)
    with pytest.raises(DataError, match=r"class folder .*bee is empty; put its images there, or remove it"):
        ImageFolder(tmp_path)
    for name in ("a.heic", "b.HEIC", "README"):
        (tmp_path / "bee" / "within" / name).write_bytes(b"of another kind")
    with pytest.raises(DataError, match=r"bee holds \.heic and extensionless files, but no images") as refused:
        ImageFolder(tmp_path)
    assert "remove" not in str(refused.value)
    for name in ("a.avif", "b.cr2", "c.dng"):
        (tmp_path / "bee" / name).write_bytes(b"of other kinds")
    with pytest.raises(DataError, match=r"bee holds \.avif, \.cr2, \.dng and other files"):
        ImageFolder(tmp_path)


def test_what_pillow_minds_about_an_image_that_it_reads_is_kept_quiet(tmp_path: Path) -> None:
    """Pillow's warnings about images that it can read, which name no file, are suppressed."""
    (tmp_path / "ant").mkdir()
    colours = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    palette = Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE, colors=60)
    palette.save(tmp_path / "ant" / "a.png", transparency=bytes(range(60)))
    broken = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"
    Image.new("RGB", (8, 8)).save(tmp_path / "ant" / "b.jpg", exif=broken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read, _ = ImageFolder(tmp_path).load(np.array([0, 1]))
    assert (read == np.asarray(palette.convert("RGB"))).all()


def test_broken_exif_of_good_pixels_is_left_out(tmp_path: Path) -> None:
    """A WebP file with EXIF that cannot be read is taken as it lies; one that is cut off is refused."""
    path = picture(tmp_path / "ant" / "a.png").with_suffix(".webp")
    Image.new("RGB", (8, 8), RED).save(path, lossless=True, exif=b"Exif\0\0nonsense")
    assert ImageFolder(tmp_path).load(np.array([1]))[0, 0, 0].tolist() == list(RED)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"a\.webp cannot be read"):
        ImageFolder(tmp_path).load(np.array([1]))


def test_missing_and_empty_directories_are_named(tmp_path: Path) -> None:
    """A directory that is missing, is a file, or has no class folders is refused with that reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="there is no directory"):
        ImageFolder(tmp_path / "missing")
    with pytest.raises(DataError, match="is not a directory"):
        ImageFolder(tmp_path / "file")
    with pytest.raises(DataError, match="has no class folders"):
        ImageFolder(tmp_path)


def test_files_of_torchvision_are_no_class_folders(tmp_path: Path) -> None:
    """A directory in which torchvision keeps CIFAR-10 is refused with the option that reads it."""
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"")
    with pytest.raises(DataError, match=r"cifar-10-batches-py holds files of torchvision: add --dataset cifar10$"):
        ImageFolder(tmp_path)


def test_open_dataset_refuses_what_does_not_fit(tmp_path: Path) -> None:
    """Unknown names and splits, and options of another dataset, are usage errors."""
    for call, words in (
        (lambda: open_dataset("cats"), "unknown dataset 'cats'"),
        (lambda: open_dataset("shapes", split="valid"), "unknown split 'valid'"),
        (lambda: open_dataset("shapes", data=tmp_path), "drop --data .*, or use --dataset imagefolder"),
        (lambda: open_dataset("shapes", size=(64, 64)), "32x32"),
        (lambda: open_dataset("imagefolder"), "needs --data"),
    ):
        with pytest.raises(UsageError, match=words):
            call()
    assert open_dataset("shapes", size=(32, 32)).name == "shapes"


def test_a_class_that_no_manifest_could_hold_is_refused_by_name(tmp_path: Path) -> None:
    """A class whose name is not UTF-8 is refused; names of image files may be anything."""
    picture(tmp_path / "ant" / "\udcff.png", GREEN)
    assert ImageFolder(tmp_path, "test").classes == ("ant",)
    picture(tmp_path / "b\udcffe" / "a.png", GREEN)
    with pytest.raises(DataError, match=r"class folder .* has a name that is not UTF-8; rename it"):
        ImageFolder(tmp_path, "test")
