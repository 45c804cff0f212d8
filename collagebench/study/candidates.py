"""The candidates of a recommendation: every scheme, each with the few settings that matter.

The settings are those of the field's papers and proxies: two or three copies, hedges at the usual percentiles with and
without a budget, groups of the usual sizes, and collages of every grid whose answers are held back (`auto`) or used at
once (`idle`). As in the papers, a fleet has one redundant worker for each full group of singles. The 3x3 collage is
also considered with twice as many, so that a mosaic need not wait for the one before it.

The variants of the user's profile are candidates as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from collagebench import zoo
from collagebench.config import Config, SchemeConfig, called
from collagebench.engine.variants import allotment_of, models_of
from collagebench.errors import ModelError, UsageError
from collagebench.schemes import make, settings

NONE = SchemeConfig("none", "none")
"""No redundancy, with which all others are compared."""
GRIDS = (2, 3, 4, 5)
BATCH = 9
"""Images in a backup's batch: as many as the paper's collage has cells."""
DEFAULT_BEFORE = 0.95
"""With an SLO, the default answer is given after this share of it, so that it is in time."""


@dataclass(frozen=True, slots=True)
class Left:
    """A candidate that cannot be simulated, and why."""

    variant: str
    why: str


def candidates(
    workers: int, slo: float | None = None, asked: Sequence[str] = (), own: Sequence[SchemeConfig] = ()
) -> list[SchemeConfig]:
    """Return the variants to compare on a fleet of `workers`, no redundancy first unless `asked` omits it.

    `slo` is the required latency in seconds, or None. `asked` names the schemes to consider; empty for all. A scheme
    without settings listed here, such as one of the user's own, is considered with its defaults. `own` are the variants
    of the user's profile, which keep their names: a usual one with the same settings is left out, and one with the same
    name but other settings is renamed.

    Raises:
        UsageError: a named scheme needs an SLO.
    """
    if slo is None and "default" in asked and "default" not in {one.name for one in own}:
        raise UsageError(
            "the scheme default needs --slo, because it answers shortly before the time for an answer is up"
        )
    usual = _usual(workers, slo)
    if asked:
        known = {"default", *(one.name for one in usual)}
        usual = [one for one in usual if one.name in asked] + [_named(name) for name in asked if name not in known]
    what, names = [_what(one) for one in own], [one.variant for one in own]
    return [*(_renamed(one, names) for one in usual if _what(one) not in what), *own]


def _what(one: SchemeConfig) -> tuple[str, dict[str, Any]]:
    """Return what a variant does, whatever it is called and whether or not its options are given."""
    return one.name, settings(one.name, dict(one.options))


def _renamed(one: SchemeConfig, taken: Sequence[str]) -> SchemeConfig:
    """Return a variant by a name that is not taken."""
    name = one.variant
    while name in taken:
        name += " as usual"
    return replace(one, variant=name)


def _usual(workers: int, slo: float | None) -> list[SchemeConfig]:
    """Return the variants of all schemes whose settings are listed here."""
    found = [NONE]
    found += [_named("replication", f"x{n}", replicas=n) for n in (2, 3)]
    found += [_named("hedge", p, hedge_delay=p) for p in ("p90", "p95", "p99")]
    found += [_named("hedge", "p90 5 %", hedge_delay="p90", hedge_budget=0.05)]
    found += [_named("hedge-idle"), _named("tied")]
    found += [_named("reissue", p, reissue_after=p) for p in ("p95", "p99")]
    if slo is not None:
        found.append(_named("default", default_after=float(f"{DEFAULT_BEFORE * slo:.4g}")))
    for flush in ("auto", "idle"):
        backups = _workers_for(workers, BATCH)
        found.append(_named("backup", flush + _on(backups), backup_batch=BATCH, backup_workers=backups, flush=flush))
    found += [_named("parity", f"k={k}", parity_k=k) for k in (2, 3, 4)]
    found += [_named("parity", "k=2 concat", parity_k=2, parity_code="concatenation")]
    found += [_named("approxifer"), _named("nercc")]
    for grid, flush in product(GRIDS, ("auto", "idle")):
        collagers = _workers_for(workers, grid * grid)
        name = f"{grid}x{grid} {flush}{_on(collagers)}"
        found.append(_named("collage", name, grid=grid, collage_workers=collagers, flush=flush))
    twice = 2 * _workers_for(workers, BATCH)
    found.append(_named("collage", f"3x3 auto{_on(twice)}", grid=3, collage_workers=twice, flush="auto"))
    return found


def _on(workers: int) -> str:
    """Return the part of a variant's name for the workers of its second model; empty for one worker."""
    return f" on {workers}" if workers > 1 else ""


def possible(
    schemes: Sequence[SchemeConfig], config: Config, classes: tuple[str, ...]
) -> tuple[list[SchemeConfig], list[Left]]:
    """Return the schemes that the workers and models of `config` can run, and those that they cannot.

    `classes` are the names of the dataset's classes; only models of these classes count.

    Raises:
        ModelError: there are no models, or no single.
    """
    fitting = zoo.fitting(zoo.load(config.models or zoo.SHIPPED), classes)
    models_of(make(NONE.name, {}), ("single",), fitting, config.precision)
    able, left = [], []
    for config_ in schemes:
        try:
            scheme = make(config_.name, dict(config_.options))
            models_of(scheme, allotment_of(scheme, config.workers), fitting, config.precision)
        except (ModelError, UsageError) as error:
            left.append(Left(config_.variant, str(error)))
        else:
            able.append(config_)
    return able, left


def _named(name: str, trait: str = "", **options: Any) -> SchemeConfig:
    return SchemeConfig(name, f"{called(name)} {trait}".strip(), tuple(sorted(options.items())))


def _workers_for(workers: int, size: int) -> int:
    """Return how many of `workers` serve groups of `size`: one for every `size` singles, and at least one."""
    return max(1, round(workers / (size + 1)))
