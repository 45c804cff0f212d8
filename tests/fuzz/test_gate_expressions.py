"""Random gates: computed as Python would, or refused with a caret under the character."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from in_process import fuzz

from collagebench.errors import UsageError
from collagebench.report.expression import METRICS, parse
from collagebench.report.gates import RELATIONS, apply

KNOWN = {"p50": 0.02, "p99": 0.1, "accuracy": 0.97, "failed": 0, "goodput": 93.5}
SCHEMES = ("none", "hedge-idle", "collage 0.5", "日本")


def summary() -> dict[str, Any]:
    """Return the part of a report that gates read, with the known figures for each scheme and no others."""
    latency = {name: KNOWN.get(name) for name in ("p50", "p90", "p95", "p99", "p999", "mean", "std", "max")}
    scheme = {
        "runs": 2,
        "requests": 900,
        "failed": 0,
        "unstable": False,
        "latency_s": latency,
        "latency_at_least_s": {"p50": None, "p90": None, "p95": None, "p99": None, "p999": 0.2},
        "infinite": [],
        "accuracy": {"overall": KNOWN["accuracy"]},
        "sources": {"own": 1.0},
        "relative": {"executed": None},
        "busy": None,
        "goodput_rps": KNOWN["goodput"],
        "bound": None,
    }
    return {"config": {}, "schemes": [{"variant": name, **scheme} for name in SCHEMES]}


def named(scheme: str) -> str:
    """Return a scheme's name as it is written in a gate, quoted if necessary."""
    return scheme if scheme in ("none", "hedge-idle", "日本") else f'"{scheme}"'


numbers = st.floats(0, 1e6).map(lambda value: (f"{value!r}", value)) | st.integers(0, 99).map(
    lambda n: (str(n), float(n))
)
figures = st.tuples(st.sampled_from(SCHEMES), st.sampled_from(sorted(KNOWN))).map(
    lambda pair: (f"{named(pair[0])}.{pair[1]}", float(KNOWN[pair[1]]))
)


def combined(children: st.SearchStrategy[tuple[str, float | None]]) -> st.SearchStrategy[tuple[str, float | None]]:
    """Return sums, products, signs and parentheses of expressions, each with the value that Python gives it."""

    def binary(left: Any, sign: str, right: Any) -> tuple[str, float | None]:
        if None in (left[1], right[1]):
            value = None
        elif sign == "/":
            value = left[1] / right[1] if right[1] else None
        else:
            value = {"+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1]}[sign]
        return f"({left[0]}) {sign} ({right[0]})", value if value is not None and math.isfinite(value) else None

    pair = st.builds(binary, children, st.sampled_from("+-*/"), children)
    return pair | children.map(lambda one: (f"-({one[0]})", None if one[1] is None else 0.0 - one[1]))


expressions = st.recursive(numbers | figures, combined, max_leaves=8)


@fuzz(100)
@given(left=expressions, relation=st.sampled_from(sorted(RELATIONS)), right=expressions)
def test_a_gate_is_computed_as_python_would(left: Any, relation: str, right: Any) -> None:
    """Both sides of a gate have their value in Python, and a gate with a side that has none fails."""
    text = f"{left[0]}{relation} {right[0]}"
    if len(text) > 500:
        return
    report = summary()
    apply(report, [parse(text)])
    (found,) = report["gates"]
    assert (found["left"], found["right"]) == (left[1], right[1])
    if None in (left[1], right[1]):
        assert found["failed"]
        assert found["reason"]
    else:
        assert found["failed"] == eval(f"{left[1]!r} {relation} {right[1]!r}")
    json.dumps(report, allow_nan=False)


words = st.sampled_from(
    (*SCHEMES, *METRICS, "none.p99", '"collage 0.5".p50', "bound.p99", *".<=+-*/()[{", ">=", "'", '"', "0.3", "1e9",
     "300ms", "95%", " ", "\t", "\n", "and", "__import__", "\\", "…", "e", "0x1", "1_0")
)  # fmt: skip


@fuzz(150)
@given(text=st.lists(words, max_size=14).map("".join) | st.text(max_size=40))
@example("٣.p99 > 1")
@example("none.p99 > \u0663")
@example("none.p99 >\u2028 1")
def test_any_text_is_a_gate_or_is_pointed_at(text: str) -> None:
    """Any text is a gate that can be evaluated, or is refused in three lines, of which the last is a caret."""
    try:
        gate = parse(text)
        report = summary()
        apply(report, [gate])
    except UsageError as error:
        sentence, shown, caret = str(error).split("\n")
        assert sentence
        assert caret.strip() == "^"
        assert len(caret) <= 2 * len(shown) + 1
        return
    (found,) = report["gates"]
    assert found["failed"] or None not in (found["left"], found["right"])
    json.dumps(report, allow_nan=False)
