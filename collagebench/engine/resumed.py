"""Resuming an experiment that was interrupted, was killed, lost a worker, or had too few runs.

Complete cells are kept; the others are repeated from their first request. Everything that was fixed before the first
request must be the same: the config, the workers of each role, and the inference times, which are read from the run
instead of measured again. So a resumed simulation has the same records as one that never stopped. Only the number of
runs may grow: runs are independent, so those of a longer experiment begin with those of a shorter one. An extension
that is not finished may be taken back. The machine and the model files may have changed, because the config does not
fix them; the run then says so. The files that it replays may not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collagebench import __version__
from collagebench.config import Config, as_json, option
from collagebench.engine.straggling import straggler_facts
from collagebench.errors import UsageError
from collagebench.results.environment import sources
from collagebench.results.reader import load, read_run_header
from collagebench.schemes import files_of
from collagebench.workload.arrivals import facts_of

VERBS = {"live": "run", "simulated": "simulate"}
SHOWN = 4
"""The number of differences of the environment that a message names."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The saved part of an experiment that is being resumed."""

    directory: Path
    header: dict[str, Any]
    cells: frozenset[tuple[str, int]]
    """Scheme and run of each complete cell in which no worker was lost."""

    @property
    def compute(self) -> dict[tuple[str, int], float]:
        """Seconds of one inference by model name and batch size, as they were measured for the first part."""
        return {
            (model["name"], int(size)): seconds
            for model in self.header.get("models", [])
            for size, seconds in model.get("compute_s", {}).items()
        }

    def is_whole(self, plan_cells: int) -> bool:
        """Return whether nothing is left to do."""
        return _has_ended(self.header) and len(self.cells) == plan_cells


def recorded_config(directory: Path) -> dict[str, Any]:
    """Return the config of a run directory as plain JSON values.

    Raises:
        DataError: it is not a run directory, or cannot be read.
    """
    config: dict[str, Any] = read_run_header(directory).get("config", {})
    return config


def check_engine(directory: Path, engine: str) -> None:
    """Check that the experiment in a directory was begun on `engine`.

    Raises:
        DataError: it is not a run directory, or cannot be read.
        UsageError: it was begun by the other verb.
    """
    began = str(read_run_header(directory).get("engine"))
    if began != engine:
        verb = VERBS.get(began, "another program")
        how = f"; use `collagebench {verb} --resume`" if began in VERBS else ""
        raise UsageError(f"{directory} was begun with {verb}: it cannot be resumed with {VERBS[engine]}{how}")


def check_asked(directory: Path, config: Config) -> None:
    """Check that the experiment in a directory may be resumed with `config`, without reading its records.

    Raises:
        DataError: it is not a run directory; or it, or a file that it replays, cannot be read.
        UsageError: it was begun with another config, or a file that it replays has changed since.
    """
    _check_same(directory, read_run_header(directory), config)


def open_earlier(directory: Path, engine: str, config: Config) -> Earlier:
    """Read an experiment, to resume it with `config` on `engine`.

    Raises:
        DataError: it is not a run directory, or is damaged; or a file that it replays cannot be read.
        UsageError: it was begun by the other verb or with another config than this one, which may have more runs, or
            as many as before an unfinished extension; or the run, this program, a scheme of the user or a replayed file
            was changed since.
    """
    check_engine(directory, engine)
    run = load(directory)
    if run.changed:
        raise UsageError(
            f"{directory} cannot be resumed, because {' and '.join(run.changed)} changed since the run was written: "
            "to run it again from the start, choose another directory or remove this one"
        )
    began = run.header.get("environment", {}).get("sources")
    own = files_of(scheme.name for scheme in config.schemes)
    if began not in (None, sources(own)):
        what = "this program or a scheme of yours" if own else "this program"
        raise UsageError(
            f"{directory} was begun before {what} was changed, so its records would be those of two programs: to run "
            "it again from the start, choose another directory or remove this one"
        )
    _check_same(directory, run.header, config)
    cells, texts = run.cells, run.cells.texts
    lost = texts["lost_workers"]
    kept = {
        (texts["scheme"][scheme], number)
        for scheme, number, gone in zip(
            cells["scheme"].tolist(), cells["run"].tolist(), cells["lost_workers"].tolist(), strict=True
        )
        if not lost[gone] and number < config.runs
    }
    return Earlier(directory, run.header, frozenset(kept))


def _check_same(directory: Path, header: Mapping[str, Any], config: Config) -> None:
    _same_files(directory, header, config)  # before the rate is compared, which may be that of the log
    _same_config(directory, header, as_json(config))


def _same_files(directory: Path, header: Mapping[str, Any], config: Config) -> None:
    """Check that the files that the experiment replays, if any, are still those with which it was begun."""
    began, now = header.get("config", {}), as_json(config)
    replayed = (
        ("arrivals", config.arrivals, ("arrivals",), facts_of(config.arrivals)),
        ("stragglers", config.trace or config.stragglers, ("stragglers", "trace"), straggler_facts(config)),
    )
    for key, named, fields, facts in replayed:
        digests = [(some or {}).get("sha256") for some in (header.get(key), facts)]
        same_name = all(began.get(field) == now[field] for field in fields)  # else the config differs, which is said
        if same_name and None not in digests and digests[0] != digests[1]:
            raise UsageError(
                f"the {key}' file ({named}) has changed since {directory} was begun: restore the old one, or run it "
                "again into another directory"
            )


def resumed_header(earlier: Earlier, new: Mapping[str, Any], cells: int) -> dict[str, Any]:
    """Return the header of the resumed run: that of the first part, with the changes since; `new` is the new plan's.

    Raises:
        UsageError: the new plan differs from the one with which the run was begun.
    """
    old, new = earlier.header, json.loads(json.dumps(new, default=str))  # as it would be written
    for before, now in zip(old.get("schemes", []), new["schemes"], strict=False):
        for key in ("variant", "scheme", "allotment", "options"):
            if before.get(key) != now[key]:
                raise UsageError(
                    f"{earlier.directory} was begun with {key} {before.get(key)} of {now['variant']}, which is now "
                    f"{now[key]}: to run it again from the start, choose another directory or remove this one"
                )
    changes = [*_models(old.get("models", []), new["models"]), *_environment(old.get("environment", {}), new)]
    began, runs = old["config"]["runs"], new["config"]["runs"]
    message = f"resumed after {len(earlier.cells)} of {cells} cells"
    if began != runs:
        message += f", with {runs} runs instead of {began}" if began < runs else f", with {runs} runs again"
    message += f"; since then {', '.join(changes)}" if changes else ""
    since = "that cell was repeated" if began <= runs else "that cell was repeated, or taken back with its run"
    events = [
        {**event, "kind": "mended", "message": f"{event['message']}; {since}"}
        if event["kind"] == "worker lost"
        else event
        for event in old.get("events", [])
    ]
    kept = {key: value for key, value in old.items() if key not in ("bound", "finished_utc", "error")}
    if began != runs:
        before = old.get("extended", [])
        extended = [*before, began] if began < runs else before[:-1]
        kept.update(config={**old["config"], "runs": runs}, extended=extended)
    again = {"at_utc": new["environment"]["captured_utc"], "tool": f"collagebench {__version__}"}
    facts = {**again, "cells_kept": len(earlier.cells), "environment": new["environment"]}
    disturbances = [cell for cell in old.get("disturbances", []) if (cell["scheme"], cell["run"]) in earlier.cells]
    replaced = [cell for cell in old.get("replaced", []) if cell["run"] < runs]
    return {
        **kept,
        **({"disturbances": disturbances} if "disturbances" in old else {}),
        **({"replaced": replaced} if "replaced" in old else {}),
        "models": new["models"],
        "events": [*events, {"kind": "resumed", "message": f"{message}.", "at_utc": again["at_utc"]}],
        "resumed": [*old.get("resumed", []), facts],
    }


def _same_config(directory: Path, header: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    before, defaults = header.get("config", {}), as_json(Config())
    for key, value in sorted(now.items(), key=lambda one: one[0] == "dataset"):  # after --data, which may imply it
        began = before.get(key, defaults[key])
        if began == value:
            continue
        if key == "runs":
            _check_runs(directory, header, began, value)
            continue
        if key == "schemes":
            raise UsageError(f"{directory} was begun with other schemes: {_difference(began, value)}")
        if key == "host":
            began, value = (", ".join(host["address"] for host in hosts) or "none" for hosts in (began, value))
        again = f"leave --{option(key)} out" if began is None else f"use --{option(key)} {began}"
        raise UsageError(
            f"{directory} was begun with --{option(key)} {began}, not {value}: {again}, or choose another directory"
        )


def _check_runs(directory: Path, header: Mapping[str, Any], began: int, runs: int) -> None:
    """Check that another number of runs extends the experiment, or takes back an extension that is not finished."""
    extended = header.get("extended", [])
    back = extended[-1] if extended and not _has_ended(header) else None
    if runs > began or runs == back:
        return
    was = "extended to" if extended else "begun with"
    or_back = f", or --runs {back} to take the extension back" if back else ""
    raise UsageError(
        f"{directory} was {was} --runs {began}, not {runs}: use --runs {began} or more{or_back}, or choose another "
        "directory"
    )


def _has_ended(header: Mapping[str, Any]) -> bool:
    """Return whether all runs were measured: an experiment that lost a worker is marked as done, but stopped there."""
    lost = any(event["kind"] == "worker lost" for event in header.get("events", []))
    return header.get("status") == "done" and not lost


def _difference(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> str:
    """Return a text about the first scheme that differs."""
    names = [", ".join(scheme["variant"] for scheme in schemes) for schemes in (before, now)]
    if names[0] != names[1]:
        return f"{names[0]}, not {names[1]}"
    for old, new in zip(before, now, strict=True):
        for key in sorted({*old["options"], *new["options"]}):
            values = [scheme["options"].get(key, "its default") for scheme in (old, new)]
            if values[0] != values[1]:
                return f"{key.replace('_', '-')} of {new['variant']} was {values[0]}, not {values[1]}"
    return f"{names[0]} in another form"


def _models(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    known = {model.get("name"): model.get("sha256") for model in before}
    return [f"model {model['name']} is another file" for model in now if known.get(model["name"]) != model["sha256"]]


def _environment(before: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return texts about the differences of the machine and the installation."""
    now = new["environment"]
    pairs = [(key, before.get(key), now.get(key)) for key in ("cpu", "logical_cores", "cpu_quota_cores", "kernel")]
    pairs += [(key, before.get(key), now.get(key)) for key in ("python", "collagebench")]
    old_packages, packages = before.get("packages", {}), now.get("packages", {})
    pairs += [(name, old_packages.get(name), version) for name, version in packages.items()]
    pairs += [("revision", (before.get("git") or {}).get("revision"), (now.get("git") or {}).get("revision"))]
    changes = [f"{name} was {old} and is now {value}" for name, old, value in pairs if old != value]
    more = len(changes) - SHOWN
    return [*changes[:SHOWN], f"{more} more"] if more > 0 else changes
