"""The training loop: it learns, resumes exactly where it stopped, keeps to its time, and refuses what cannot go on."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from quick_training import ARCHITECTURE, LAYERS, RECIPE  # noqa: E402
from tones import Tones  # noqa: E402

from collagebench.errors import DataError, ModelError, OutputError, UsageError  # noqa: E402
from collagebench.models.architecture import Architecture, usual_layers  # noqa: E402
from collagebench.models.network import Network  # noqa: E402
from collagebench.training import checkpoint as checkpoints  # noqa: E402
from collagebench.training.batches import IGNORED, Batch  # noqa: E402
from collagebench.training.loop import train  # noqa: E402
from collagebench.training.losses import loss_of  # noqa: E402
from collagebench.training.recipe import Recipe  # noqa: E402
from collagebench.training.step import move_average  # noqa: E402


def test_it_learns_and_logs(tmp_path: Path) -> None:
    """Two tones are told apart, held-out ones too, and the log has a line for each epoch that pandas can read."""
    pandas = pytest.importorskip("pandas", reason="needs the test extra")
    done: list[tuple[int, int]] = []
    last = train(ARCHITECTURE, RECIPE, Tones(), tmp_path / "m.pt", report=lambda k, n, _: done.append((k, n)))
    log = pandas.read_csv(tmp_path / "m.csv")
    assert log.columns.tolist() == ["epoch", "seconds", "rate", "loss", "held_out_accuracy"]
    assert log.epoch.tolist() == [1, 2, 3]
    assert last.log[-1]["held_out_accuracy"] == log.held_out_accuracy.iloc[-1] > 0.9
    assert log.loss.iloc[-1] < log.loss.iloc[0]
    assert done[-1] == (3 * 18, 3 * 18), "588 images in batches of 8 x 4 are 18 steps"


def test_a_detection_head_learns_where_images_are_and_what_they_show(tmp_path: Path) -> None:
    """A detection head tells held-out tones apart, with a teacher and without."""
    architecture = Architecture("collage", 2, (8, 8), 2, **LAYERS, head="detection")
    tones = Tones(3000)
    recipe = replace(RECIPE, epochs=6)
    for teacher in (None, taught(tones)):
        last = train(architecture, recipe, tones, tmp_path / "m.pt", teacher=teacher)
        assert last.log[-1]["loss"] < 0.3 * last.log[0]["loss"]
        assert last.log[-1]["held_out_accuracy"] > 0.9


@pytest.mark.parametrize("count", [100, 1000])
def test_a_detection_head_of_many_classes_does_not_overflow(tmp_path: Path, count: int) -> None:
    """With the usual layers and rates, 100 or 1000 classes give a finite loss that falls."""
    rng = np.random.default_rng(0)
    many = Tones(max(5 * count, 2000))
    many.classes = tuple(f"{label:04}" for label in range(count))
    many.labels = np.arange(len(many.labels)) * 7 // 5 % count
    colours = rng.integers(256, size=(count, 1, 1, 3))[many.labels]
    many._images = (colours * 0.8 + rng.integers(50, size=many._images.shape)).astype(np.uint8)
    architecture = Architecture("collage", count, (8, 8), 3, head="detection", **usual_layers("collage", 3))
    recipe = Recipe("colours", epochs=6, batch=28)
    log = train(architecture, recipe, many, tmp_path / "m.pt").log
    assert log[-1]["loss"] < log[0]["loss"]


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    """Two trainings of one recipe agree in every bit; another seed gives other weights."""
    weights = [
        train(ARCHITECTURE, Recipe("tones", seed=seed, epochs=1, batch=8), Tones(), tmp_path / f"{k}.pt").network
        for k, seed in enumerate((0, 0, 1))
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not torch.equal(weights[0]["stem.0.weight"], weights[2]["stem.0.weight"])


@pytest.mark.parametrize("muon", [0.0, 0.1])
def test_a_resumed_training_ends_as_if_it_had_never_stopped(tmp_path: Path, muon: float) -> None:
    """A training interrupted in its second epoch and resumed ends in the same weights as one that was not."""
    recipe = replace(RECIPE, muon=muon)

    class PowerError(Exception):
        """The power fails."""

    def fail(done: int, total: int, line: str) -> None:
        if done == 25:
            raise PowerError

    whole = train(ARCHITECTURE, recipe, Tones(), tmp_path / "whole.pt")
    path = tmp_path / "broken.pt"
    with pytest.raises(PowerError):
        train(ARCHITECTURE, recipe, Tones(), path, report=fail)
    begun = checkpoints.load(path)
    assert begun.epoch == 1
    resumed = train(ARCHITECTURE, recipe, Tones(), path, resume=begun)
    assert all(torch.equal(whole.network[key], resumed.network[key]) for key in whole.network)
    assert [row["loss"] for row in resumed.log] == [row["loss"] for row in whole.log]


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the loop's clock by the number in this list."""
    passed = [0.0]
    monkeypatch.setattr("collagebench.training.loop.time.perf_counter", lambda: passed[0])
    return passed


def test_a_time_budget_ends_a_training_with_a_rate_of_almost_nothing(tmp_path: Path, seconds: list[float]) -> None:
    """A budget of a minute allows about sixty steps of a second, and the rate falls to nearly 0 by its end."""
    done = []

    def pass_a_second(_: int, total: int, line: str) -> None:
        done.append(line)
        seconds[0] += 1.0

    recipe = replace(RECIPE, epochs=1000, minutes=1.0)
    last = train(ARCHITECTURE, recipe, Tones(), tmp_path / "m.pt", report=pass_a_second)
    assert sum(line.startswith("epoch") for line in done) in range(55, 62), "and a second after each epoch"
    assert last.epoch == 4
    rates = [row["rate"] for row in last.log]
    assert rates == sorted(rates, reverse=True)
    assert 0 <= rates[-1] < 0.05 * recipe.rate
    assert 60 <= last.used < 62
    assert last.log[-1]["held_out_accuracy"] > 0.9


def test_the_time_used_counts_after_a_break(tmp_path: Path, seconds: list[float]) -> None:
    """A resumed training has only the rest of its minute, and a finished one does nothing."""

    def fall(_: int, total: int, line: str) -> None:
        seconds[0] += 1.0
        if seconds[0] == 30:
            raise KeyboardInterrupt

    recipe = replace(RECIPE, epochs=1000, minutes=1.0)
    path = tmp_path / "m.pt"
    with pytest.raises(KeyboardInterrupt):
        train(ARCHITECTURE, recipe, Tones(), path, report=fall)
    begun = checkpoints.load(path)
    assert (begun.epoch, begun.used) == (1, 18.0)
    seconds[0] = 1000.0
    last = train(ARCHITECTURE, recipe, Tones(), path, resume=begun, report=fall)
    assert 1042 <= seconds[0] <= 1045
    assert train(ARCHITECTURE, recipe, Tones(), path, resume=last) is last


def test_whenever_its_time_is_over_what_was_learnt_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the time runs out, there is a checkpoint of the last epoch that was begun."""
    ticks = itertools.count()
    monkeypatch.setattr("collagebench.training.loop.time.perf_counter", lambda: next(ticks) / 60)
    for budget in range(100, 130):
        begun = []
        recipe = replace(RECIPE, epochs=1000, every=1000, minutes=budget / 3600)

        def note(_: int, total: int, line: str, begun: list[str] = begun) -> None:
            begun += [line] if line.startswith("epoch") else []

        last = train(ARCHITECTURE, recipe, Tones(100), tmp_path / f"{budget}.pt", report=note)
        assert begun[-1] == f"epoch {last.epoch}", budget
        assert [row["epoch"] for row in last.log] == [last.epoch]


def test_steps_end_a_training_that_has_time_left(tmp_path: Path, seconds: list[float]) -> None:
    """With time to spare a training ends after its epochs, and the rate still falls to 0."""
    last = train(ARCHITECTURE, replace(RECIPE, minutes=60.0), Tones(), tmp_path / "m.pt")
    assert last.epoch == RECIPE.epochs
    assert last.log[-1]["rate"] == 0


def test_muon_turns_what_a_normalisation_follows_and_nothing_else(tmp_path: Path) -> None:
    """Muon optimises the filters of the trunk; stem, biases and classifier are left to SGD."""
    recipe = replace(RECIPE, muon=0.1)
    last = train(ARCHITECTURE, recipe, Tones(), tmp_path / "m.pt")
    sizes = {key: float(value.norm() / len(value) ** 0.5) for key, value in last.network.items() if value.ndim > 1}
    turned = {key for key, size in sizes.items() if size == pytest.approx(1, abs=0.02)}
    assert turned == {key for key in sizes if key.startswith("trunk.")}
    assert last.muon is not None
    assert len(last.muon["state"]) == len(turned)
    others = sum(len(group["params"]) for group in last.optimizer["param_groups"])
    assert others == len(list(Network(ARCHITECTURE).parameters())) - len(turned)
    assert last.log[-1]["held_out_accuracy"] > 0.9


def test_averaged_weights_are_what_is_left_and_resume_as_well(tmp_path: Path) -> None:
    """With --ema the checkpoint's network is the average over the steps, also after an interruption and a resume."""
    recipe = replace(RECIPE, ema=0.95)
    plain = train(ARCHITECTURE, RECIPE, Tones(), tmp_path / "plain.pt")
    whole = train(ARCHITECTURE, recipe, Tones(), tmp_path / "whole.pt")
    assert whole.last is not None
    assert all(torch.equal(whole.last[key], plain.network[key]) for key in plain.network), "the steps are the same"
    assert not torch.equal(whole.network["classify.weight"], plain.network["classify.weight"])
    assert whole.log[-1]["held_out_accuracy"] > 0.9

    def stop(done: int, total: int, line: str) -> None:
        if done == 40:
            raise KeyboardInterrupt

    path = tmp_path / "broken.pt"
    with pytest.raises(KeyboardInterrupt):
        train(ARCHITECTURE, recipe, Tones(), path, report=stop)
    resumed = train(ARCHITECTURE, recipe, Tones(), path, resume=checkpoints.load(path))
    assert all(torch.equal(whole.network[key], resumed.network[key]) for key in whole.network)


def test_the_average_is_the_one_computed_by_hand(tmp_path: Path) -> None:
    """The average after two steps equals that computed by hand; the first step has a decay of 0.1."""
    recipe = replace(RECIPE, ema=0.15, epochs=1, batch=10**6)
    assert [recipe.decay_at(step) for step in (0, 1, 50)] == [0.1, 0.15, 0.15]
    averaged, network = Network(ARCHITECTURE), Network(ARCHITECTURE)
    wanted = {key: value.clone() for key, value in averaged.state_dict().items()}
    for decay in (0.1, 0.15):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        move_average(averaged, network, decay)
        wanted = {key: decay * value + (1 - decay) * network.state_dict()[key] for key, value in wanted.items()}
    found = averaged.state_dict()
    assert all(torch.allclose(found[key].double(), wanted[key].double(), atol=1e-6) for key in found)


def said_of(images: np.ndarray) -> np.ndarray:
    """Return the logits of a teacher that is right about tones [n, 8, 8, 3], and more certain of brighter ones."""
    level = images.mean((1, 2, 3), dtype=np.float64) - 105
    return np.stack([-level, level], 1).astype(np.float32) / 30


def taught(tones: Tones) -> np.ndarray:
    """Return that teacher's logits of all images and of their mirror images, which are equal."""
    return np.stack([said_of(tones.load(np.arange(len(tones))))] * 2)


def test_a_student_learns_from_its_teacher_more_than_from_labels(tmp_path: Path) -> None:
    """If all labels are wrong and the teacher is right, a distilled network follows the teacher."""
    tones = Tones()
    logits = taught(tones)
    tones.labels = 1 - tones.labels
    recipe = replace(RECIPE, teacher="0" * 64)
    last = train(ARCHITECTURE, recipe, tones, tmp_path / "m.pt", teacher=logits)
    assert last.log[-1]["held_out_accuracy"] < 0.1, "the held-out labels are wrong, too"


@pytest.mark.parametrize(("k", "code"), [(2, "addition"), (3, "addition"), (2, "concatenation")])
def test_a_parity_network_recovers_what_is_missing(tmp_path: Path, k: int, code: str) -> None:
    """A parity network's output minus the other singles' outputs gives the tone of the missing image."""
    architecture = Architecture("parity", 2, (8, 8), k=k, code=code, **LAYERS)
    recipe = replace(RECIPE, epochs=5, blanks=0.2, rate=0.05)
    last = train(architecture, recipe, Tones(3000), tmp_path / "m.pt", teacher=taught(Tones(3000)))
    assert last.log[-1]["held_out_accuracy"] > 0.85
    assert last.log[-1]["loss"] < 0.5 * last.log[0]["loss"]


def batch_of(
    labels: list[list[int]], there: list[list[bool]], own: list[list[float]] | None = None, other: int = 0
) -> Batch:
    """Return a batch with these labels and present images; the rest of a mixed image has the label `other`."""
    labelled, present = torch.tensor(labels), torch.tensor(there)
    shares = torch.ones(labelled.shape) if own is None else torch.tensor(own)
    others = torch.full_like(labelled, other).masked_fill(~present, IGNORED)
    return Batch(torch.zeros(0), labelled, shares, others, present, torch.zeros(0), labelled, labelled)


def test_missing_images_add_nothing_to_a_parity() -> None:
    """The target of a partial group is the sum of the teacher's logits over the images that are present."""
    said = torch.arange(8.0).reshape(2, 2, 2)
    batch = batch_of([[1, 0], [1, IGNORED]], [[True, True], [True, False]])
    wanted = torch.stack([said[0, 0] + said[0, 1], said[1, 0]])
    assert loss_of(wanted, batch, said, RECIPE) == 0
    assert loss_of(wanted + 2, batch, said, RECIPE) == 4


def test_of_a_mixed_image_only_the_teacher_speaks() -> None:
    """With a teacher, the labels of mixed images do not count, and a batch of only such images has a finite loss."""
    said = torch.tensor([[[3.0, -1.0], [0.5, 2.0]]])
    mixed = batch_of([[0, 1]], [[True, True]], [[0.3, 0.9]])
    assert loss_of(said.clone(), mixed, said, RECIPE) == pytest.approx(0, abs=1e-6)
    assert loss_of(-said, mixed, said, RECIPE) > 1
    half = batch_of([[0, 1]], [[True, True]], [[0.5, 1.0]])
    one = batch_of([[1]], [[True]])
    hard = (1 - RECIPE.distillation) * torch.nn.functional.cross_entropy(said[0, 1:], torch.tensor([1]))
    assert loss_of(said.clone(), half, said, RECIPE) == pytest.approx(hard.item())
    assert loss_of(said[:, 1:].clone(), one, said[:, 1:], RECIPE) == pytest.approx(hard.item())


@pytest.mark.parametrize("head", ["grid", "detection"])
def test_without_a_teacher_the_labels_of_both_speak_of_a_mixed_image(head: str) -> None:
    """The loss of a mixed image is that of both labels, in the ratio of its parts; a blank cell still adds nothing."""
    architecture = Architecture("collage", 2, (8, 8), 2, **LAYERS, head=head)
    network = Network(architecture)
    logits = network(torch.randint(256, (3, 16, 16, 3), dtype=torch.uint8))
    detection = network.detect if head == "detection" else None
    there = [[True, True, True, False]] * 3
    recipe = replace(RECIPE, mix=0.5)

    def loss(labels: list[int], own: list[float], recipe: Recipe = recipe) -> float:
        return loss_of(logits, batch_of([labels] * 3, there, [own] * 3, 1), None, recipe, detection).item()

    first, second = loss([0, 0, 0, IGNORED], [1.0] * 4), loss([1, 0, 0, IGNORED], [1.0] * 4)
    assert abs(first - second) > 1e-3
    assert loss([0, 0, 0, IGNORED], [0.25, 1.0, 1.0, 0.1]) == pytest.approx(0.25 * first + 0.75 * second, rel=1e-5)
    assert loss([0, 0, 0, IGNORED], [1.0] * 4, RECIPE) == pytest.approx(first, rel=1e-6)


def test_mixtures_of_labels_are_learnt(tmp_path: Path) -> None:
    """Tones are learnt without a teacher from images that are all mixed, or cut into one another."""
    for fields in ({"mix": 1.0}, {"cutmix": 1.0}, {"mix": 0.3, "cutmix": 0.7}):
        last = train(ARCHITECTURE, replace(RECIPE, epochs=6, **fields), Tones(), tmp_path / "m.pt")
        assert last.log[-1]["held_out_accuracy"] > 0.9, fields


def test_a_live_teacher_is_asked_about_the_inputs(tmp_path: Path) -> None:
    """If all labels are wrong and all images are mixed, a network learns what a live teacher says of the mixtures."""
    single = Architecture("single", 2, (8, 8), **LAYERS)
    teacher = train(single, RECIPE, Tones(), tmp_path / "t.pt").restored()
    tones = Tones()
    tones.labels = 1 - tones.labels
    recipe = replace(RECIPE, epochs=6, teacher="0" * 64, teacher_sees="inputs", mix=1.0, crop=1)
    last = train(ARCHITECTURE, recipe, tones, tmp_path / "m.pt", live=[teacher])
    assert last.log[-1]["held_out_accuracy"] < 0.1, "the held-out labels are wrong, too"


def test_weights_of_another_architecture_are_no_start(tmp_path: Path) -> None:
    """A training is refused if not one of the weights of --start fits."""
    other = Network(Architecture("single", 5, (8, 8), stem=3, stride=1, widths=(5,), depths=(0,))).state_dict()
    with pytest.raises(UsageError, match=r"no weights of --start fit a collage-2x2"):
        train(ARCHITECTURE, replace(RECIPE, start="0" * 64), Tones(), tmp_path / "m.pt", start=other)


def test_a_network_starts_with_the_weights_that_fit(tmp_path: Path) -> None:
    """Given weights are used where their shapes agree, and survive a training at next to no rate."""
    tones = Tones()
    given = Network(Architecture("single", 2, (8, 8), **LAYERS)).state_dict()
    given["classify.weight"] = torch.zeros(5, 8)
    architecture = Architecture("parity", 2, (8, 8), k=2, code="addition", **LAYERS)
    recipe = replace(RECIPE, epochs=1, rate=1e-9)
    last = train(architecture, recipe, tones, tmp_path / "m.pt", teacher=taught(tones), start=given)
    assert torch.allclose(last.network["stem.0.weight"], given["stem.0.weight"], atol=1e-5)
    assert last.network["classify.weight"].shape == (2, 8)


def test_a_student_learns_what_its_teacher_says_of_the_very_shift(tmp_path: Path) -> None:
    """If the teacher is right about shifted images and wrong about plain ones, the student is right."""
    tones = Tones()
    recipe = replace(RECIPE, teacher="0" * 64, crop=2, teacher_sees="shifts", distillation=1.0)
    logits = np.repeat(taught(tones)[:1], recipe.views, 0)
    logits[[recipe.plain, recipe.plain + recipe.views // 2]] *= -1
    last = train(ARCHITECTURE, recipe, tones, tmp_path / "m.pt", teacher=logits.astype(np.float16))
    assert last.log[-1]["held_out_accuracy"] > 0.9


def test_fewer_looks_and_checkpoints_change_nothing_else(tmp_path: Path) -> None:
    """Evaluating every second epoch gives the same weights, with one line in the log for each evaluation."""
    each = train(ARCHITECTURE, RECIPE, Tones(), tmp_path / "each.pt")
    second = train(ARCHITECTURE, replace(RECIPE, every=2), Tones(), tmp_path / "second.pt")
    assert all(torch.equal(each.network[key], second.network[key]) for key in each.network)
    assert [row["epoch"] for row in second.log] == [2, 3]
    losses = [row["loss"] for row in each.log]
    assert [row["loss"] for row in second.log] == pytest.approx([(losses[0] + losses[1]) / 2, losses[2]])

    def stop(done: int, total: int, line: str) -> None:
        if done == 50:
            raise KeyboardInterrupt

    path = tmp_path / "broken.pt"
    with pytest.raises(KeyboardInterrupt):
        train(ARCHITECTURE, replace(RECIPE, every=2), Tones(), path, report=stop)
    begun = checkpoints.load(path)
    assert begun.epoch == 2
    resumed = train(ARCHITECTURE, begun.recipe, Tones(), path, resume=begun)
    assert all(torch.equal(each.network[key], resumed.network[key]) for key in each.network)


def test_two_trainings_do_not_write_over_each_other(tmp_path: Path) -> None:
    """A training stops with an error instead of overwriting what another one has written meanwhile."""
    path = tmp_path / "m.pt"

    def other(done: int, total: int, line: str) -> None:
        if line.startswith("epoch 2"):
            path.write_bytes(b"another's")

    with pytest.raises(OutputError, match="another training has written"):
        train(ARCHITECTURE, RECIPE, Tones(), path, report=other)
    assert path.read_bytes() == b"another's"


def test_what_a_killed_training_left_is_removed(tmp_path: Path) -> None:
    """The parts of a checkpoint and of a log that killed trainings left are removed by the next one; others stay."""
    parts = [tmp_path / f".{name}.9999999.partial" for name in ("m.pt", "m.csv", "other.pt")]
    for part in parts:
        part.write_bytes(b"a part")
    train(ARCHITECTURE, replace(RECIPE, epochs=1), Tones(), tmp_path / "m.pt")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "m.pt", tmp_path / "m.csv", parts[-1]])


def test_images_that_do_not_fit_in_memory_are_refused(tmp_path: Path) -> None:
    """Images that do not fit into memory are an error that gives their size."""

    class Endless(Tones):
        """Images that no memory holds."""

        def load(self, indices: np.ndarray) -> np.ndarray:
            """Ask for more than any machine has."""
            return np.empty((2**50, *self.size), np.uint8)

    with pytest.raises(DataError, match=r"600 training images need 0\.0 GB"):
        train(ARCHITECTURE, RECIPE, Endless(), tmp_path / "m.pt")


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    """A training that diverges asks for a smaller --rate, and leaves no checkpoint."""
    path = tmp_path / "m.pt"
    wild = replace(RECIPE, rate=10.0, momentum=0.999, weight_decay=10.0)
    with pytest.raises(ModelError, match="smaller --rate"):
        train(ARCHITECTURE, wild, Tones(), path)
    assert not path.exists()
    whole = train(ARCHITECTURE, RECIPE, Tones(), path)
    lost = replace(whole, network={key: value * torch.nan for key, value in whole.network.items()})
    with pytest.raises(ModelError, match=r"smaller --rate, into another --out, or remove .*m\.pt and its log first"):
        train(ARCHITECTURE, replace(RECIPE, epochs=4), Tones(), path, lost)
