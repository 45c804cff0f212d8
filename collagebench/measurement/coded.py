"""How right the answers of coded inference are: reconstructed from what is left when shares are lost.

Groups of k images become k + s coded ones for the unmodified model. Every choice of s lost shares (of more than 200, as
many at random) is decoded, so each image is answered as often; its answers hang together, and the interval of the
accuracy therefore counts images, not answers.

NeRCC's two smoothing parameters are found by trying: the encoder's decade by decade and then finer around the best,
with one pass of the model for each; the decoder's on a fine grid for every one of them, as decoding costs next to
nothing. The best of so many flatters itself, so what it is worth is told by images that had no say in the choice
(cross-validation: Stone, Journal of the Royal Statistical Society B 36, 1974).
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
"""From the shares that are there to the weights of their outputs in each answer, [k, shares there]."""


@dataclass(frozen=True, slots=True)
class Code:
    """How requests are coded: `k` of them into `k + s` images, and NeRCC's smoothing."""

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
    """The smoothing that reconstructed most answers, and what else was tried."""

    smooth_encode: float
    smooth_decode: float
    accuracy: Share
    """The accuracy of each half of the groups with the smoothing that is best for the other half."""
    unsmoothed: Share
    """The accuracy without any smoothing."""
    tried: tuple[tuple[float, float, float], ...]
    """Every pair of parameters and its accuracy."""


def present(code: Code) -> list[tuple[int, ...]]:
    """Return what shares there are, for every loss of `s` shares that is counted."""
    if comb(code.shares, code.s) <= LOSSES_AT_MOST:
        return list(combinations(range(code.shares), code.k))
    rng = np.random.default_rng(0)
    draws = (rng.choice(code.shares, code.k, replace=False) for _ in range(LOSSES_AT_MOST))
    return sorted({tuple(sorted(draw.tolist())) for draw in draws})


def outputs(
    session: Any, sample: Sample, encoder: NDArray[np.float32], advance: Advance = unwatched
) -> NDArray[np.float32]:
    """Return what the model says of the coded images of all groups, [groups, shares, classes].

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
    """Return the share of each group's images that are right in the mean over all losses: [groups].

    Args:
        logits: what the model says of the coded images, [groups, shares, classes].
        labels: the classes of the images, [groups, k].
        code: how they were coded.
        decoder: what turns the shares that are there into answers.
    """
    losses = present(code)
    found: NDArray[np.float64] = np.mean(
        [right(decoder(there) @ logits[:, there], labels).mean(1) for there in losses], axis=0
    )
    return found


def reconstructed(shares: NDArray[np.float64], k: int) -> Share:
    """Return how many images are right, given the share of each group of k, [groups].

    What they are worth follows from how far the groups are apart: a mean over losses varies less than right and wrong.
    """
    mean, groups = float(shares.mean()), len(shares)
    error = float(np.var(shares, ddof=1)) / groups if groups > 1 else 0.0
    return Share(mean * groups * k, groups * k, mean * (1 - mean) / error if error > 0 else None)


def approxifer(session: Any, sample: Sample, code: Code, advance: Advance = unwatched) -> Share:
    """Return the accuracy of answers reconstructed by Berrut's code."""
    _, labels = sample.groups(code.k)  # first, as matrices may be huge where it fails
    logits = outputs(session, sample, berrut.encoder(code.k, code.shares, ENDS), advance)
    decoder = partial(berrut.decoder, code.k, code.shares, ends=ENDS)
    return reconstructed(by_group(logits, labels, code, decoder), code.k)


def nercc(session: Any, sample: Sample, code: Code, advance: Advance = unwatched) -> Share:
    """Return the accuracy of answers reconstructed by smoothing splines.

    Raises:
        DataError: a smoothing parameter is negative.
    """
    _, labels = sample.groups(code.k)
    logits = outputs(session, sample, splines.encoder(code.k, code.shares, code.smooth_encode, ENDS), advance)
    return reconstructed(by_group(logits, labels, code, _splines(code, code.smooth_decode)), code.k)


def tune(session: Any, sample: Sample, code: Code, report: Callable[[int, int, str], None]) -> Tuned:
    """Return the smoothing parameters with which NeRCC reconstructs most answers of a sample.

    `report` is told passes done, passes in all, and a line. Of equals the least smoothing is taken.
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
