"""`collagebench evaluate` as it is typed: what it measures, prints and refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from colours import colour_models, coloured
from command_line import collagebench, exit_code
from real_processes import ROOT

from collagebench import zoo


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Return the options that name images in three colours and the models for them."""
    data = coloured(tmp_path_factory.mktemp("images"))
    return "--data", data, "--models", colour_models(tmp_path_factory.mktemp("models"))


def test_json_has_everything_that_was_measured(colours: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has the right accuracy of every model, its latency relative to the single's, and the figures of its role."""
    assert exit_code("evaluate", *colours, "--coded-k", 2, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["images"], found["images_available"], found["split"]) == (1, 60, 60, "test")
    models = {model["name"].removeprefix("colours-"): model for model in found["models"]}
    assert list(models) == [
        "single", "coded", "backup", "collage-2x2", "parity-k2-addition", "parity-k2-concatenation",
    ]  # fmt: skip
    collage = models.pop("collage-2x2")
    assert collage["accuracy"]["value"] == 0.75
    assert [cell["value"] for cell in collage["by_cell"]] == [1, 1, 1, 0]
    assert [blanks["value"] for blanks in collage["by_blanks"]] == [0.75, 1, 1, 1]
    for name, model in models.items():
        assert model["accuracy"]["value"] == 1
        assert model["accuracy"]["images"] == 60
        low, high = model["accuracy"]["ci95"]
        least = 0.88 if name.startswith("parity") else 0.93  # 60 answers of 30 parities are worth no more than 30
        assert least < low < least + 0.02
        assert high == 1
        assert 0 < model["latency_s"] < 1
        assert (model["macs"], model["parameters"]) == (48, 3)
    assert models["single"]["latency_ratio"] == 1
    assert models["coded"]["coded"]["approxifer"]["value"] == 1
    assert models["coded"]["coded"]["nercc"]["value"] == 1
    assert models["backup"]["batch"]["images"] == 9
    assert models["backup"]["batch"]["latency_ratio"] > 0


def test_the_shipped_models_need_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    """Without options the shipped models are measured within 6 points of the manifest, in lines of 80 columns."""
    assert exit_code("evaluate", "--images", 300) == 0
    shown = capsys.readouterr().out
    claimed = {model.name: model.accuracy for model in zoo.load() if model.dataset == "shapes"}
    for name, accuracy in claimed.items():
        (line,) = (line for line in shown.splitlines() if line.startswith(name.removeprefix("shapes-") + " "))
        said = float(re.search(r"([\d.]+) %", line).group(1)) / 100  # type: ignore[union-attr]
        assert said == pytest.approx(accuracy, abs=0.06)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_collage_is_compared_with_nine_backups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If there is a 3x3 collage, a batch of nine images on the backup is timed in the same run and compared with it."""
    models = [model for model in zoo.load() if model.name in ("shapes-single", "shapes-collage-3x3")]
    single = next(model for model in models if model.role == "single")
    for model in models:
        (tmp_path / model.file).write_bytes(model.path.read_bytes())
    from dataclasses import replace

    zoo.save([*models, replace(single, name="shapes-backup", role="backup")], tmp_path)
    assert exit_code("evaluate", "backup", "--models", tmp_path, "--images", 50) == 0
    shown = capsys.readouterr().out
    assert "9 in one batch" in shown
    assert re.search(r"A batch of nine of shapes-backup takes \d+\.\d\dx as long as\s+shapes-collage-3x3", shown)


def test_roles_and_grids_are_chosen(colours: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Only the named roles are listed, still with the ratio to the single's latency; --grid selects the collages."""
    assert exit_code("evaluate", "parity", "backup", *colours, "--format", "json") == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert {model["role"] for model in models} == {"parity", "backup"}
    assert all(model["latency_ratio"] > 0 for model in models)
    assert exit_code("evaluate", "--grid", 3, "--images", 50, "--format", "json") == 0
    collages = [m for m in json.loads(capsys.readouterr().out)["models"] if m["role"] == "collage"]
    assert {m["name"] for m in collages} == {"shapes-collage-3x3", "shapes-collage-3x3-detection"}


def test_a_model_that_there_are_too_few_images_for_stops_no_other(
    colours: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model with too few images gets a latency, no accuracy and a note; only if all have too few is it an error.

    A coded model keeps the accuracy on plain images if they are too few for one group.
    """
    few = (*colours, "--data", coloured(tmp_path / "few", 1))
    assert exit_code("evaluate", *few, "--format", "json") == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert len(models) == 6
    assert all(model["latency_s"] > 0 for model in models.values())
    reasons = {name: model["not_evaluated"] for name, model in models.items() if model["not_evaluated"]}
    assert reasons == {
        "colours-coded": "3 images are too few, because 8 go into one input or group; use more images",
        "colours-collage-2x2": "3 images are too few, because 4 go into one input or group; use more images",
    }
    collage = models["colours-collage-2x2"]
    assert (collage["accuracy"], models["colours-coded"]["accuracy"]["value"]) == (None, 1)
    assert (collage["by_cell"], collage["by_blanks"], models["colours-coded"]["coded"]) == (None, None, None)
    assert (models["colours-single"]["accuracy"]["value"], models["colours-single"]["not_evaluated"]) == (1, None)
    assert exit_code("evaluate", *few) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^collage-2x2 +- +-", shown, re.MULTILINE)
    assert re.search(r"^single +100.0 %", shown, re.MULTILINE)
    note = "note: colours-collage-2x2 is not evaluated: 3 images are too few, because 4 go into one input or group;"
    assert note in " ".join(shown.split())
    assert "note: colours-coded with lost shares is not evaluated: 3 images" in " ".join(shown.split())
    assert re.search(r"^coded +100.0 %", shown, re.MULTILINE)
    assert exit_code("evaluate", "collage", "coded", *few) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "collagebench: 3 images are too few, because 8 go into one input or group; use more images\n"


def test_tuning_says_how_to_use_what_it_found(
    colours: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The smoothing that was found is printed as options, and JSON has every pair that was tried."""
    for split in ("train", "test"):
        coloured(tmp_path / "divided" / split)
    colours = (*colours, "--data", tmp_path / "divided")
    assert exit_code("evaluate", "coded", "--tune", "--coded-k", 1, "--coded-s", 1, "--split", "train", *colours) == 0
    shown = capsys.readouterr().out
    assert "--smooth-encode 0 --smooth-decode 0" in shown
    out = tmp_path / "tuned.json"
    assert exit_code("evaluate", "coded", "--tune", "--coded-k", 1, *colours, "--format", "json", "--out", out) == 0
    tuned = json.loads(out.read_text())["tuned"]
    assert len(tuned["tried"]) > 100
    assert tuned["accuracy"]["images"] == 2  # of 60 images, training keeps two out


def test_out_gets_what_would_be_printed(
    colours: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--out writes the table to the file and prints nothing."""
    assert exit_code("evaluate", "single", *colours, "--out", tmp_path / "table.txt") == 0
    assert capsys.readouterr() == ("", "")
    assert "100.0 %" in (tmp_path / "table.txt").read_text()


def test_a_place_that_cannot_be_written_is_known_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An --out that cannot be written is refused first: here the images are missing too, and are not mentioned."""
    missing = ("--data", tmp_path / "no")
    assert exit_code("evaluate", "single", *missing, "--out", tmp_path) == 1
    assert "(Is a directory); choose another --out" in capsys.readouterr().err


def test_what_does_not_fit_is_one_sentence(
    colours: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing roles, grids, datasets and images, and options that make no sense, give one sentence each."""
    options = list(colours)
    corrupt = coloured(tmp_path / "corrupt", 2)
    (corrupt / "green" / "001.png").write_bytes(b"no image")
    broken = colour_models(tmp_path / "broken")
    (broken / "single.onnx").write_bytes(b"no model")
    (tmp_path / "empty").mkdir()
    few = coloured(tmp_path / "few", 1)
    single = zoo.find(zoo.load(), "single", dataset="shapes")
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / single.file).write_bytes(single.path.read_bytes())
    zoo.save([single], bare)
    for arguments, code, words in (
        (("parity", "--models", bare), 1, "has the role parity"),
        (("--grid", 7), 1, "has 7 cells along a side; there are: "),
        ((*options[:2],), 1, "knows the 3 classes of this dataset (crimson, green, navy); those for "),
        (("--dataset", "cats"), 2, "unknown dataset 'cats'"),
        (("--dataset", "imagefolder"), 2, "needs --data"),
        (("--dataset", "shapes", "--data", tmp_path), 2, "drop --data"),
        (("--models", tmp_path / "empty"), 1, "holds no manifest.json"),
        (("--models", tmp_path / "not here"), 1, f"`collagebench export --out '{tmp_path / 'not here'}'`"),
        ((*options, "--models", broken), 1, "single.onnx has 8 bytes"),
        ((*options, "--data", corrupt), 1, "green/001.png cannot be read"),
        ((*options, "--data", tmp_path / "empty"), 1, "has no class folders"),
        (("collage", *options, "--data", few), 1, "3 images are too few, because 4 go into one"),
        (("coded", *options, "--coded-k", 61), 1, "60 images are too few, because 61 go into one"),
        (("--tune",), 2, "collagebench evaluate coded --tune"),
        (("coded", "--coded-k", 10**9), 1, "2000 images are too few"),
        (("coded", "--tune", "--split", "test"), 2, "drop --split test"),
        (("coded", "--tune", "--smooth-encode", 1), 2, "drop them"),
        (("coded", "--tune", "--models", bare), 1, "no model for coded"),
        (("single", "--grid", 3), 2, "--grid has no effect on single, only on collage"),
        (("single", "backup", "--coded-k", 8), 2, "--coded-k has no effect on single and backup, only on coded"),
    ):
        assert exit_code("evaluate", *arguments) == code, arguments
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_unknown_roles_and_numbers_out_of_range_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown role ends with 2 and names a known one; 0 for --images or --coded-k also ends with 2."""
    assert exit_code("evaluate", "singel") == 2
    assert "'single'" in capsys.readouterr().err
    assert exit_code("evaluate", "--images", 0) == 2
    assert exit_code("evaluate", "--coded-k", 0) == 2


@pytest.mark.processes
def test_measuring_needs_no_torch_and_is_silent_where_nobody_watches(colours: tuple[object, ...]) -> None:
    """`evaluate` works without torch, and prints nothing on standard error if that is no terminal."""
    program = (
        "import sys\nsys.modules.update(torch=None, torchvision=None, onnx=None)\n"
        "from collagebench.cli import main\nmain(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "evaluate", *map(str, colours)],
        capture_output=True, text=True, cwd=ROOT, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "parity-k2-addition" in done.stdout


@pytest.mark.processes
def test_a_public_dataset_says_what_to_install() -> None:
    """If torchvision is missing, one sentence names the extra that installs it."""
    program = (
        "import sys\nsys.modules['torchvision'] = None\n"
        "from collagebench.cli import main\nmain(['evaluate', '--dataset', 'cifar10'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr == "collagebench: dataset cifar10 is read by torchvision: pip install 'collagebench[train]'\n"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("ImportError('no\\nroom')", 1, "collagebench: onnxruntime cannot be loaded (no): install it again, or "),
        ("ImportError('failed') from KeyboardInterrupt()", 130, "collagebench: interrupted"),
    ],
)
def test_no_model_is_blamed_for_a_library_that_cannot_be_loaded(
    tmp_path: Path, raised: str, code: int, said: str
) -> None:
    """If onnxruntime cannot be imported, the error names it and no model; a Ctrl-C meanwhile ends with 130."""
    (tmp_path / "onnxruntime.py").write_text(f"raise {raised}\n")
    found, out, error = collagebench("evaluate", "single", cwd=tmp_path)
    assert (found, out) == (code, "")
    assert error.strip().startswith(said)
    assert "single" not in error
