"""How to try a recommended scheme on real workers: the experiment, the options of `run`, and perhaps a profile."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from collagebench.config import Config, option
from collagebench.schemes import SCHEMES
from collagebench.study.wishes import Candidate

CHOICE = "choice.toml"
"""The profile of a choice whose options the command line does not have."""
ELSEWHERE = {
    *("schemes", "requests", "runs", "warmup", "accuracy", "slo_ms"),
    *("fleet", "host", "remote_python", "bootstrap", "endpoint", "tls_ca", "tls_cert", "tls_key", "pixel_scale"),
    *("ray_address", "ray_cpus", "ray_resource", "ray_placement"),
}
"""Fields left out of the recommended `run` command: how much to measure and where is up to the user who tries it."""
DESCRIBED = [field.name for field in fields(Config) if field.name not in ELSEWHERE]
"""Fields that describe the fleet for which the recommendation is made."""


def on_real_workers(config: Config, rate: float) -> Config:
    """Return the experiment for real workers that was simulated with `config`, at `rate` requests per second."""
    if config.compute == "emulated":
        return config
    if config.compute_time is not None:  # real inferences take another time, so a utilisation would be another rate
        config = replace(config, compute_time=None, rate=float(f"{rate:.6g}"), utilisation=None)
    return replace(config, accuracy=Config().accuracy)  # every answer is classified


def command_of(choice: Candidate, config: Config, rate: float, directory: Path) -> str:
    """Return the options of `run` that try a choice; `config` and `rate` are those of `on_real_workers`.

    `directory` is that of the answer, where the profile of the choice is, if it has one.
    """
    described, default = on_real_workers(config, rate), Config()
    words = ["--scheme", choice.scheme]
    for name, value in choice.options.items():
        words += [f"--{option(name)}", str(value)]
    if profile_of(choice):
        words = ["--profile", str(directory / CHOICE)]
    for name in DESCRIBED:
        value = getattr(described, name)
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        if value != getattr(default, name):
            words += [f"--{option(name)}"] if value is True else [f"--{option(name)}", str(value)]
    return shlex.join(words)


def profile_of(choice: Candidate) -> str | None:
    """Return a profile in which the choice stands beside no redundancy; None where the command line can say as much.

    It cannot where it does not have the options, as it has those of the schemes that are ours.
    """
    if choice.scheme in SCHEMES or not choice.options:
        return None
    table = {"name": choice.scheme, "variant": choice.variant, **choice.options}
    lines = [f"{option(name)} = {_toml(value)}" for name, value in table.items()]
    return "\n".join(["[[scheme]]", 'name = "none"', "", "[[scheme]]", *lines, ""])


def _toml(value: Any) -> str:
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
