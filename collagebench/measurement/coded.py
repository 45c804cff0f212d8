"""Accuracy of coded inference: of the answers reconstructed from the remaining shares when others are lost.

A group of k images becomes k + s coded ones for the unmodified model. Every choice of s lost shares is decoded (a
random 200 if there are more), so each image has several answers. These are correlated, so the interval of the accuracy
counts images, not answers.

NeRCC's two smoothing parameters are found by search. The encoder's is tried in steps of a decade and then in finer
steps around the best, with one pass of the model for each. For each of them, the decoder's is tried on a fine grid, as
decoding costs almost nothing. The best of many candidates looks better than it is, so its accuracy is measured on
images that played no part in the choice (cross-validation: Stone, Journal of the Royal Statistical Society B 36, 1974).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding import berrut, splines
from collagebench.coding.linear import combine
from collagebench.measurement.accuracy import Advance, Sample, infer, right, unwatched
from collagebench.schemes.coded import ENDS, SMOOTH_DECODE, SMOOTH_ENCODE
from collagebench.statistics.accuracy import Share

LOSSES_AT_MOST = 200
DECADES = range(-8, 2)
COARSE = (0.0, *(10.0**decade for decade in DECADES))
FINE = (0.0, *(10.0 ** (DECADES[0] + step / 3) for step in range(3 * len(DECADES) - 2)))

Decoder = Callable[[tuple[int, ...]], NDArray[np.float32]]
"""Maps the shares present to the weights of their outputs in each answer, [k, shares present]."""


@dataclass(frozen=True, slots=True)
class Code:
    """How requests are coded: `k` images into `k + s` coded ones, and NeRCC's smoothing."""

    k: int = 8
    s: int = 1
    smooth_encode: float = SMOOTH_ENCODE
    smooth_decode: float = SMOOTH_DECODE

    @property
    def shares(self) -> int:
        """Coded images of one group."""
        return self.k + self.s


@dataclass(frozen=True, slots=True)
class Tuned:
    """The smoothing that reconstructed the most answers correctly, and all that were tried."""

    smooth_encode: float
    smooth_decode: float
    accuracy: Share
    """The accuracy on each half of the groups with the smoothing that is best on the other half."""
    unsmoothed: Share
    """The accuracy without any smoothing."""
    tried: tuple[tuple[float, float, float], ...]
    """Every pair of parameters and its accuracy."""


def present(code: Code) -> list[tuple[int, ...]]:
    """Return the shares present after each loss of `s` shares that is decoded."""
    if comb(code.shares, code.s) <= LOSSES_AT_MOST:
        return list(combinations(range(code.shares), code.k))
    rng = np.random.default_rng(0)
    draws = (rng.choice(code.shares, code.k, replace=False) for _ in range(LOSSES_AT_MOST))
    return sorted({tuple(sorted(draw.tolist())) for draw in draws})


def outputs(
    session: Any, sample: Sample, encoder: NDArray[np.float32], advance: Advance = unwatched
) -> NDArray[np.float32]:
    """Return the model's logits for the coded images of all groups, [groups, shares, classes].

    `encoder` [shares, k] holds the weights of the images in each coded image.

    Raises:
        DataError: there are too few images for one group.
    """
    shares, k = encoder.shape
    pixels, _ = sample.groups(k)
    logits = infer(session, (image for group in pixels for image in combine(encoder, list(group))), advance)
    return logits.reshape(len(pixels), shares, -1)


def by_group(
    logits: NDArray[np.float32], labels: NDArray[np.int64], code: Code, decoder: Decoder
) -> NDArray[np.float64]:
    """Return the share of right answers in each group, averaged over all losses: [groups].

    Args:
        logits: the model's logits for the coded images, [groups, shares, classes].
        labels: the classes of the images, [groups, k].
        code: how they were coded.
        decoder: gives the weights that turn the outputs present into answers.
    """
    losses = present(code)
    found: NDArray[np.float64] = np.mean(
        [right(decoder(there) @ logits[:, there], labels).mean(1) for there in losses], axis=0
    )
    return found


def reconstructed(shares: NDArray[np.float64], k: int) -> Share:
    """Return the share of images that are right, given the share in each group of k, [groups].

    The effective number of images follows from the variance between groups: a mean over losses varies less than single
    answers do.
    """
    mean, groups = float(shares.mean()), len(shares)
    error = float(np.var(shares, ddof=1)) / groups if groups > 1 else 0.0
    return Share(mean * groups * k, groups * k, mean * (1 - mean) / error if error > 0 else None)


def approxifer(session: Any, sample: Sample, code: Code, advance: Advance = unwatched) -> Share:
    """Return the accuracy of answers that ApproxIFER reconstructs (Berrut's code)."""
    _, labels = sample.groups(code.k)  # first, as it fails before huge matrices are made
    logits = outputs(session, sample, berrut.encoder(code.k, code.shares, ENDS), advance)
    decoder = partial(berrut.decoder, code.k, code.shares, ends=ENDS)
    return reconstructed(by_group(logits, labels, code, decoder), code.k)


def nercc(session: Any, sample: Sample, code: Code, advance: Advance = unwatched) -> Share:
    """Return the accuracy of answers that NeRCC reconstructs (smoothing splines).

    Raises:
        DataError: a smoothing parameter is negative.
    """
    _, labels = sample.groups(code.k)
    logits = outputs(session, sample, splines.encoder(code.k, code.shares, code.smooth_encode, ENDS), advance)
    return reconstructed(by_group(logits, labels, code, _splines(code, code.smooth_decode)), code.k)


def tune(session: Any, sample: Sample, code: Code, report: Callable[[int, int, str], None]) -> Tuned:
    """Return the smoothing parameters with which NeRCC reconstructs the most answers of a sample correctly.

    `report` is called with the passes done, the passes in all, and a line of text. Ties go to the least smoothing.
    """
    _, labels = sample.groups(code.k)
    found: dict[tuple[float, float], NDArray[np.float64]] = {}
    passes = len(COARSE) + 4

    def attempt(lam_e: float) -> None:
        report(len({e for e, _ in found}), passes, f"smoothing the encoder by {lam_e:.2g}")
        logits = outputs(session, sample, splines.encoder(code.k, code.shares, lam_e, ENDS))
        for lam_d in FINE:
            found[lam_e, lam_d] = by_group(logits, labels, code, _splines(code, lam_d))

    def best(groups: slice = slice(None)) -> tuple[float, float]:
        return max(found, key=lambda pair: (round(float(found[pair][groups].sum()), 9), -pair[0], -pair[1]))

    for lam_e in COARSE:
        attempt(lam_e)
    if middle := best()[0]:
        for third in (-2, -1, 1, 2):
            attempt(middle * 10 ** (third / 3))
    halves = slice(0, None, 2), slice(1, None, 2)
    across = [found[best(other)][half] for half, other in zip(halves, reversed(halves), strict=True)]
    tried = tuple((*pair, float(shares.mean())) for pair, shares in sorted(found.items()))
    unsmoothed = reconstructed(found[0.0, 0.0], code.k)
    return Tuned(*best(), reconstructed(np.concatenate(across), code.k), unsmoothed, tried)


def _splines(code: Code, lam_d: float) -> Decoder:
    return lambda there: splines.decoder(code.k, code.shares, there, lam_d, ENDS)
