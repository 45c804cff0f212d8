"""Profiles and command lines of every kind of nonsense: a documented exit code and a sentence, nothing else."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import event, example, given
from hypothesis import strategies as st
from in_process import collagebench, fuzz, inside

from collagebench.cli import VERBS
from collagebench.config import Config, option
from collagebench.schemes import SCHEMES, options_of
from collagebench.stragglers.model import NAMES as FAMILIES
from collagebench.stragglers.placement import PLACES
from collagebench.stragglers.service import MODES

PROFILES = [path.read_text() for path in sorted((Path(__file__).parents[2] / "profiles").glob("*.toml"))]
KEYS = [option(name) for name in Config.__dataclass_fields__ if name != "schemes"]
OPTIONS = sorted({name.replace("_", "-") for scheme in SCHEMES for name in options_of(scheme)})
SMALL = ("--workers", "5", "--requests", "20", "--runs", "1", "--compute-time", "0.001", "--rate", "200")
"""Options that are given last, so that a command takes about a second whatever comes before them."""

texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), max_size=8)
words = st.sampled_from(
    ("none", "fit", "p95", "p0", "p100", "wait", "idle", "deadline", "poisson", "constant", "fixed", "collage-trace",
     "collage-machines", "shapes", "imagefolder", "addition", "concatenation", "real", "int8", "table", "json", "paper",
     "../x", ".", "", "-1", "0", "1", "2", "3", "0.5", "1e9", "1e-9", "nan", "inf", "-inf", "9" * 30, "hedge")
)  # fmt: skip
values = (
    st.integers(-3, 12)
    | st.sampled_from((10**9, 10**30, -(10**30), 1e300, 1e-300, 0.0, -0.5, 0.05, 0.3, 2.5, float("inf"), float("nan")))
    | st.booleans()
    | words
    | texts
    | st.lists(st.integers(0, 3), max_size=2)
    | st.just({"a": 1})
)


LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "warmup": st.floats(0, 0.9),
    "deadline": st.sampled_from((0.001, 0.05, 10.0)),
    "stragglers": st.sampled_from(FAMILIES),
    "straggler-mode": st.sampled_from(MODES),
    "slow-place": st.sampled_from(PLACES),
    "slow-workers": st.integers(0, 6),
    "arrivals": st.sampled_from(("poisson", "constant", "bursts")),
    "flush": st.sampled_from(("wait", "idle", "deadline")),
    "hedge-delay": st.sampled_from(("p95", "p50", 0, 0.01, 0.1)),
    "reissue-after": st.sampled_from(("p90", 0.02, 0.1)),
    "parity-code": st.sampled_from(("addition", "concatenation")),
    "compute": st.just("emulated"),
    "models": texts,
    "data": texts,
    "dataset": st.just("shapes"),
}
"""Values that often make sense; other options get small numbers."""
numbers = st.sampled_from((1, 2, 3, 4, 0.05, 0.1, 0.5))


def mostly(likely: st.SearchStrategy[Any], others: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy that draws `likely` nine times as often as `others`."""
    return st.integers(0, 9).flatmap(lambda die: likely if die else others)


def value_of(key: str) -> st.SearchStrategy[Any]:
    """Return a strategy of values for an option, most of which make sense."""
    likely = LIKELY.get(key, numbers)
    return mostly(likely, values)


def toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


@st.composite
def written(draw: st.DrawFn) -> str:
    """Return a profile in valid TOML, with known and unknown keys and values of every type."""

    def lines_of(keys: st.SearchStrategy[str], most: int) -> list[str]:
        chosen = draw(st.lists(keys, max_size=most, unique=True))
        return [f"{json.dumps(key, ensure_ascii=False)} = {toml(draw(value_of(key)))}" for key in chosen]

    known = st.sampled_from([key for key in KEYS if key not in ("models", "data", "download")])
    lines = lines_of(mostly(known, st.sampled_from(KEYS) | texts), 3)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(SCHEMES)))
        own = [key.replace("_", "-") for key in options_of(name)]
        mine = st.sampled_from([*own, "variant"])
        keys = mostly(mine, st.sampled_from(OPTIONS) | texts)
        lines += ["[[scheme]]", f"name = {json.dumps(name)}"]
        lines += lines_of(keys.filter(lambda key: key != "name"), 3)
    return "\n".join(lines)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Return a shipped profile with some characters changed."""
    text = draw(st.sampled_from(PROFILES))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text = (
            text[:start] + draw(st.sampled_from((*"0-9.=[]\"'\n{x", "", ""))) + text[start + draw(st.integers(0, 4)) :]
        )
    return text


@fuzz(30)
@given(profile=mostly(written(), damaged()))
@example(profile='stragglers = "markov"\npersistence = [0, 0.5]')
def test_any_profile_is_run_or_refused(profile: str) -> None:
    """A profile is simulated, or refused with exit code 1 or 2 and one line on standard error."""
    with tempfile.TemporaryDirectory() as directory, inside(Path(directory)):
        Path("p.toml").write_text(profile, encoding="utf-8")
        code, out, err = collagebench("simulate", "--profile", "p.toml", *SMALL, "--out", "r", "--format", "json")
        event(f"exit code {code}")
        if code in (1, 2):
            assert err.strip().count("\n") == 0, err
            assert out == ""
        else:
            found = json.loads(out)
            assert all(one["schemes"] for one in found.get("cells", [found]))  # a sweep has several cells


NAMES = [f"--{name}" for name in KEYS if name not in ("download",)]
EXPERIMENT = [*NAMES, *(f"--{name}" for name in OPTIONS), "--scheme", "--scheme", "--fail-if", "--profile", "--format"]
REPORT = ["--format", "--baseline", "--slo", "--fail-if", "--details", "--out"]


@st.composite
def typed(draw: st.DrawFn) -> tuple[str, ...]:
    """Return a command line that takes about a second."""
    verb = draw(st.sampled_from(("simulate", "simulate", "simulate", "report", "report", "run", "other")))
    gates = st.sampled_from(("none.p50 > 0.1", "collage.p99 <", "x.p50 > 1", "none.accuracy<0.5*none.accuracy"))
    anything = words | texts | gates | st.sampled_from(EXPERIMENT)
    if verb == "other":
        return (draw(st.sampled_from((*VERBS, "help", ""))), "--help", *draw(st.lists(anything, max_size=2)))
    names = st.sampled_from(REPORT if verb == "report" else EXPERIMENT) | texts.map(lambda text: f"--{text}")
    found: list[str] = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(names)
        found.append(name)
        kind = st.sampled_from(sorted(SCHEMES)) if name == "--scheme" else gates if name == "--fail-if" else anything
        if name.removeprefix("--") in (*KEYS, *OPTIONS):
            kind = value_of(name.removeprefix("--")).map(str)
        found += draw(st.lists(kind, min_size=0 if name == "--details" else 1, max_size=1))
    if verb == "report":
        return (verb, "done", *found)
    if verb == "run":  # always refused, as --compute-time is with real compute: no worker is started
        return (verb, *found, *SMALL, "--out", "r", "--compute", "real")
    return (verb, *found, *SMALL, "--out", "r")


@cache
def done() -> Path:
    """Return the directory of a run of two schemes, which lasts as long as this process."""
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory)
    made = collagebench("simulate", "--scheme", "none", "--scheme", "collage", *SMALL, "--out", f"{directory}/done")
    assert made[0] in (0, 4)
    return Path(directory, "done")


@fuzz(40)
@example(("simulate", "--deadline", "0.001", *SMALL, "--out", "r"))  # all requests fail, also in the bound
@given(arguments=typed())
def test_any_command_line_ends_with_a_documented_code(arguments: tuple[str, ...]) -> None:
    """Any command line ends in time, with a documented exit code, and with 3 only if it has a gate."""
    with tempfile.TemporaryDirectory() as directory, inside(Path(directory)):
        if arguments[0] == "report":
            shutil.copytree(done(), "done")
        code, _, _ = collagebench(*arguments)
        event(f"{arguments[0]} exit code {code}")
        assert (code == 3) <= ("--fail-if" in arguments)
