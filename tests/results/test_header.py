"""How `run.json` is read: every key with a value of every type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collagebench.errors import DataError
from collagebench.kinds import KINDS
from collagebench.results.header import EACH, NULLABLE, SHAPE, read_header

WRONG: tuple[Any, ...] = (None, True, -1, 0, 1.5, 10**400, "text", "", [], [1], {}, {"a": 1})


def places(shape: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the path to every value that a header may hold, and the value's shape."""
    yield way, shape
    if isinstance(shape, list):
        yield from places(shape[0], (*way, 0))
    elif isinstance(shape, dict):
        for key, inner in shape.items():
            yield from places(inner, (*way, "any" if key == EACH else key))


def holding(value: Any, way: tuple[Any, ...]) -> Any:
    """Return the smallest header that has `value` at this path."""
    for key in reversed(way):
        value = [value] if key == 0 else {key: value}
    return value


def fits(value: Any, way: tuple[Any, ...], shape: Any) -> bool:
    """Whether a value is allowed at this path."""
    if value is None and (len(way) == 1 or way[-1] in NULLABLE):
        return True
    if isinstance(shape, str):
        return (value is None and shape.endswith("?")) or KINDS[shape.removesuffix("?")][1](value)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, (*way, 0), shape[0]) for item in value)
    return isinstance(value, dict) and (not value or fits(1, way, shape.get(EACH, "count")))


@pytest.mark.parametrize("wrong", WRONG, ids=lambda value: json.dumps(value)[:12])
def test_every_key_of_a_wrong_type_is_refused_by_name(tmp_path: Path, wrong: Any) -> None:
    """A value of the wrong type is refused, under any key, in one sentence that names the file and the key."""
    path = tmp_path / "run.json"
    for way, shape in places(SHAPE):
        if not way or way == ("schema",) or fits(wrong, way, shape):
            continue
        path.write_text(json.dumps({"schema": 3, **holding(wrong, way)}))
        with pytest.raises(DataError) as error:
            read_header(path)
        named = "".join(f"[{key}]" if key == 0 else f".{key}" for key in way).lstrip(".")
        assert str(error.value).startswith(f"{path}: {named.split('.any')[0]}"), way
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"schemes": [{"scheme": "none"}, {"scheme": "none"}]}, "two schemes are called 'none'"),
        ({"config": {"workers": 3}, "schemes": [{"scheme": "none", "allotment": {"single": 4}}]}, "4 workers of 3"),
        (
            {"config": {"workers": 10}, "service": {"mean_s": 0.1, "rate": 50, "utilisation": 0.7}},
            "service.utilisation is 0.7, rate x mean_s / workers 0.5",
        ),
        ({"bound": {"p50": 0.2, "p99": 0.1}}, "the quantiles of the bound are not in ascending order"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, header: dict[str, Any], sentence: str) -> None:
    """A header that contradicts itself is refused."""
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"schema": 3, **header}))
    with pytest.raises(DataError, match="contradicts itself") as error:
        read_header(path)
    assert sentence in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": 3, "tool": "\\ud800"}', '{"schema": []}', "\ufeff{}"])
def test_what_no_program_could_print_is_refused(tmp_path: Path, text: str) -> None:
    """Endless nesting, a lone surrogate, a wrong version or a byte order mark is refused as no header."""
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(DataError, match="is not the header of a run"):
        read_header(tmp_path / "run.json")


def test_an_infinite_bound_is_unknown(tmp_path: Path) -> None:
    """An infinite bound, which older versions wrote although JSON has no infinity, is read as unknown."""
    (tmp_path / "run.json").write_text('{"schema": 3, "bound": {"p50": 0.1, "p99": Infinity}}')
    assert read_header(tmp_path / "run.json")[0]["bound"] == {"p50": 0.1, "p99": None}
