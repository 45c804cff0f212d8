"""The variants of an experiment: which workers have which role and model under each scheme."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collagebench import zoo
from collagebench.config import Config, SchemeConfig
from collagebench.engine.fitted import resolve_fits
from collagebench.errors import ModelError, UsageError, nearest
from collagebench.results.checks import MOST
from collagebench.schemes import make
from collagebench.schemes.faults import ask, breach, brief, is_own, named, place, value_of, waits_of
from collagebench.schemes.protocol import Scheme
from collagebench.terms import ROLES
from collagebench.workload.dataset import Dataset, open_dataset


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of the table: a scheme with its options, its workers and its models."""

    config: SchemeConfig
    workers: Mapping[str, tuple[int, ...]]
    """The workers of each role."""
    models: Mapping[str, zoo.Model]
    """The model of each role."""
    codec: Scheme
    """An object of the scheme's class that encodes and decodes, and receives no events."""

    @property
    def name(self) -> str:
        """The name in tables and records."""
        return self.config.variant

    @property
    def silent(self) -> frozenset[str]:
        """The roles whose model may have no answer for an image."""
        return frozenset(role for role, model in self.models.items() if model.head == "detection")

    def scheme(self) -> Scheme:
        """Return a new scheme."""
        return make(self.config.name, dict(self.config.options))


def variants_of(config: Config) -> tuple[tuple[Variant, ...], Dataset]:
    """Return the variants and the dataset of the config; raises the same as `make_plan`."""
    available = zoo.load(config.models or zoo.SHIPPED)
    dataset = open_dataset(config.dataset, config.data, download=config.download)
    return tuple(_variant(scheme, config, available, dataset) for scheme in config.schemes), dataset


def single_of(variants: Sequence[Variant]) -> zoo.Model:
    """Return the model that classifies an image if there is no redundancy."""
    return next(v.models[role] for role in ("single", "coded") for v in variants if role in v.models)


def sizes_of(variants: Sequence[Variant]) -> dict[tuple[str, int], zoo.Model]:
    """Return the models that the variants need, by name and by each batch size that must be timed."""
    return {(m.name, n): m for v in variants for role, m in v.models.items() for n in (1, v.codec.batch(role))}


def _variant(scheme_config: SchemeConfig, config: Config, available: list[zoo.Model], dataset: Dataset) -> Variant:
    scheme_config = resolve_fits(scheme_config)
    scheme = make(scheme_config.name, dict(scheme_config.options))
    allotment = allotment_of(scheme, config.workers)
    if sum(allotment.values()) > config.workers:
        where = place(type(scheme), scheme.allot) if is_own(type(scheme)) else ""
        raise UsageError(
            f"scheme {scheme_config.name} needs {sum(allotment.values())} workers, but its budget is {config.workers}: "
            f"every scheme gets the same number{where}"
        )
    workers: dict[str, tuple[int, ...]] = {}
    first = 0
    for role, number in allotment.items():
        workers[role] = tuple(range(first, first + number))
        first += number
    models = models_of(scheme, workers, zoo.fitting(available, dataset.classes), config.precision)
    for role in workers:
        size = ask(scheme, scheme.batch, role)
        if type(size) is not int or not 1 <= size < MOST:
            what = "1 or more" if type(size) is not int or size < 1 else f"below {MOST:,}"
            raise breach(scheme, f"says {brief(size)} for the batch of role {role!r}: it must be {what}", scheme.batch)
    return Variant(scheme_config, workers, models, scheme)


def allotment_of(scheme: Scheme, workers: int) -> Mapping[str, int]:
    """Return how many workers serve each role of a scheme that has any; check the counts, and its attributes."""
    found: Any = ask(scheme, scheme.allot, workers)
    counts = isinstance(found, Mapping) and all(type(count) is int and count >= 0 for count in found.values())
    if not counts or not any(found.values()):
        raise breach(scheme, f"allots {brief(found)}: it must say how many workers serve each role", scheme.allot)
    allotted: Mapping[str, int] = {role: count for role, count in found.items() if count}
    for name in ("idle_role", "judges"):
        if (role := value_of(scheme, name)) is not None and not (isinstance(role, str) and role in allotted):
            raise breach(scheme, f"has {brief(role)} for its {name}, but asked for no such worker in allot", None)
    value_of(scheme, "wants_begun")
    waits_of(scheme)
    return allotted


def models_of(
    scheme: Scheme, roles: Iterable[str], fitting: list[zoo.Model], precision: str | None
) -> dict[str, zoo.Model]:
    """Return the model of each role of a scheme, out of those that fit the dataset.

    Raises:
        ModelError: there is none for a role.
        UsageError: no model can have a role, or a trait that the scheme needs.
    """
    found = {}
    for role in roles:
        if role not in ROLES:
            raise breach(
                scheme, f"asks for {brief(role)} workers, but models have the roles {', '.join(ROLES)}", scheme.allot
            )
        traits: dict[str, Any] = {"precision": precision} if precision else {}
        traits.update(_needs_of(scheme, role))
        if not is_own(type(scheme)):
            found[role] = zoo.find(fitting, role, **traits)
            continue
        try:
            found[role] = zoo.find(fitting, role, grid_option=False, **traits)
        except ModelError as error:
            where = place(type(scheme), scheme.needs)
            raise ModelError(
                f"{named(scheme)} has no model for its {role} workers{where}: {error}, or let its `needs` ask for a "
                "model that is there"
            ) from None
    return found


def _needs_of(scheme: Scheme, role: str) -> Mapping[str, Any]:
    """Return the traits that a scheme needs in the model of a role; check that models have such traits."""
    found: Any = ask(scheme, scheme.needs, role)
    if not isinstance(found, Mapping):
        raise breach(scheme, f"needs {brief(found)} of role {role!r}: it must be a mapping", scheme.needs)
    for trait in found:
        if trait not in zoo.TRAITS:
            known = nearest(str(trait), zoo.TRAITS, "its traits are")
            raise breach(scheme, f"needs {brief(trait)} of role {role!r}, which no model has{known}", scheme.needs)
    needed: Mapping[str, Any] = found
    return needed
