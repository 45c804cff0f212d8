"""Reconstructed answers, and the smoothing that is tuned for them, with models whose answers are known."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from colours import colour_models, coloured

from collagebench import zoo
from collagebench.coding import berrut, splines
from collagebench.engine.evaluation import session
from collagebench.measurement.accuracy import Sample, draw
from collagebench.measurement.coded import Code, approxifer, by_group, nercc, outputs, present, reconstructed, tune
from collagebench.schemes.coded import ENDS
from collagebench.workload.imagefolder import ImageFolder


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a session of the linear model that takes coded images."""
    return session(zoo.find(zoo.load(colour_models(tmp_path_factory.mktemp("models"))), "coded"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Return sixty images."""
    return draw(ImageFolder(coloured(tmp_path_factory.mktemp("images"))), 60)


def test_pairs_of_images_of_a_linear_model_are_reconstructed_exactly(runner: Any, sample: Sample) -> None:
    """With k = 2, both codes reconstruct a linear model's outputs from any two, so every answer is right."""
    for code in (Code(2, 1), Code(2, 2)):
        for found in (approxifer(runner, sample, code), nercc(runner, sample, code)):
            assert (found.count, found.of) == (60, 60)


def test_reconstruction_is_that_of_the_scheme_one_loss_at_a_time(runner: Any, sample: Sample) -> None:
    """The accuracy is the mean, over groups and single losses, of the code's own encoding and decoding."""
    code = Code(4, 1)
    pixels, labels = sample.groups(4)
    right = []
    for group, truth in zip(pixels, labels, strict=True):
        shares = berrut.encode(list(group), 5)
        logits = runner.run(["logits"], {"image": shares})[0]
        for lost in range(5):
            back = {share: logits[share] for share in range(5) if share != lost}
            right += (berrut.decode(back, 4, 5).argmax(1) == truth).tolist()
    found = approxifer(runner, sample, code)
    assert found.value == pytest.approx(np.mean(right))
    assert found.of == 60
    assert 0 < np.mean(right) < 1


def test_the_smoothing_that_is_asked_for_is_used(runner: Any, sample: Sample) -> None:
    """The given smoothing is used: with a huge one answers are those of straight lines, and worse than without."""
    logits = outputs(runner, sample, splines.encoder(4, 5, 0.0, ENDS))
    _, labels = sample.groups(4)
    right = by_group(logits, labels, Code(4, 1), lambda there: splines.decoder(4, 5, there, 1e9, ENDS))
    straight = reconstructed(right, 4)
    assert nercc(runner, sample, Code(4, 1, 0.0, 1e9)).count == pytest.approx(straight.count)
    assert nercc(runner, sample, Code(4, 1, 0.0, 0.0)).count > straight.count


def test_every_loss_counts_where_they_can_be_counted() -> None:
    """Every choice of s lost shares is counted, or a fixed random sample of at most 200 if there are too many."""
    assert present(Code(8, 1)) == list(combinations(range(9), 8))
    assert present(Code(3, 0)) == [(0, 1, 2)]
    many = present(Code(20, 6))
    assert many == present(Code(20, 6))
    assert 190 < len(set(many)) <= 200
    assert all(len(set(there)) == 20 and max(there) < 26 for there in many)


def test_tuning_finds_the_best_of_what_it_tries(runner: Any, sample: Sample) -> None:
    """The tuned pair has the highest accuracy of all that were tried, and has it again when it is measured."""
    lines: list[tuple[int, int]] = []
    found = tune(runner, sample, Code(4, 1), lambda done, total, line: lines.append((done, total)))
    best = max(accuracy for _, _, accuracy in found.tried)
    assert best >= (found.unsmoothed.value or 0)
    again = nercc(runner, sample, Code(4, 1, found.smooth_encode, found.smooth_decode))
    assert again.value == pytest.approx(best)
    assert all(done < total for done, total in lines)
    assert len({lam_e for lam_e, _, _ in found.tried}) == len(lines)


def test_what_is_tuned_is_measured_on_images_that_had_no_say(runner: Any, sample: Sample) -> None:
    """Each half of the groups is measured with the pair that is best for the other half, so without bias."""
    pixels, labels = sample.groups(4)
    labels = np.random.default_rng(1).permutation(labels.ravel()).reshape(labels.shape)  # can only be guessed
    found = tune(runner, Sample(pixels.reshape(-1, *pixels.shape[2:]), labels.ravel()), Code(4, 1), lambda *told: None)
    halves = [Sample(pixels[h::2].reshape(-1, *pixels.shape[2:]), labels[h::2].ravel()) for h in (0, 1)]
    pairs = [(lam_e, lam_d) for lam_e, lam_d, _ in found.tried]
    counts = [{pair: nercc(runner, half, Code(4, 1, *pair)).count for pair in pairs} for half in halves]
    best = [max(pairs, key=lambda pair: (round(tried[pair], 6), -pair[0], -pair[1])) for tried in counts]
    assert found.accuracy.count == pytest.approx(counts[0][best[1]] + counts[1][best[0]])
    assert found.accuracy.of == 60
    assert (found.accuracy.value or 1) < max(accuracy for *_, accuracy in found.tried)


def test_tuning_prefers_no_smoothing_where_none_is_needed(runner: Any, sample: Sample) -> None:
    """If every pair of parameters is always right, no smoothing is chosen: both are 0."""
    found = tune(runner, Sample(sample.pixels[:20], sample.labels[:20]), Code(2, 1), lambda done, total, line: None)
    assert (found.smooth_encode, found.smooth_decode) == (0.0, 0.0)
    assert found.accuracy.value == 1.0
