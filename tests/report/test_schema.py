"""The published JSON Schema describes everything that `report --format json` prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from reported import reported
from synthetic_run import lognormal, make_run

from collagebench.report import gates, json_schema
from collagebench.report.expression import parse
from collagebench.report.summary import SCHEMA, summarise
from collagebench.results.reader import load

jsonschema = pytest.importorskip("jsonschema", reason="needs the test extra")

PUBLISHED = json.loads(json_schema())


def strict(schema: Any) -> Any:
    """Return a schema that forbids properties which it does not describe."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(item) for name, item in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict) and "type" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Return reports of a sound run, one without figures, one with failures, one of a single run, and several."""
    room = tmp_path_factory.mktemp("schema")
    full = load(reported(room / "full", requests=400))
    empty = load(make_run(room / "empty", {"none": []}, status="interrupted", header={"service": None, "config": None}))
    failing = load(make_run(room / "failing", {"none": [[0.02] * 380 + [None] * 20] * 2, "x": lognormal(1, 2, 400)}))
    single = load(make_run(room / "single", {"none": lognormal(1, 1, 400), "x": lognormal(2, 1, 400)}))
    found = {
        "full": summarise([full]),
        "empty": summarise([empty]),
        "failing": summarise([failing]),
        "single": summarise([single]),
        "several": summarise([full, failing, empty]),
    }
    for summary in found.values():
        gates.apply(summary, [])
    gates.apply(found["full"], [parse("none.p99 > 0.001"), parse("none.p999 > 1")])
    return {name: json.loads(json.dumps(summary, allow_nan=False)) for name, summary in found.items()}


def test_schema_is_a_schema_of_this_version():
    """The published schema is valid JSON Schema (draft 2020-12), and has the version number that reports have."""
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)
    assert PUBLISHED["$defs"]["run"]["properties"]["schema"] == {"const": SCHEMA}


@pytest.mark.parametrize("name", ["full", "empty", "failing", "single", "several"])
def test_reports_are_as_published(outputs, name):
    """Reports hold everything that the schema requires, and nothing that it does not describe."""
    jsonschema.Draft202012Validator(PUBLISHED).validate(outputs[name])
    jsonschema.Draft202012Validator(strict(PUBLISHED)).validate(outputs[name])


def test_schema_refuses_what_is_no_report(outputs):
    """A verdict that is a text, a wrong version number, and a scheme without its keys are refused."""
    for change in ({"valid": "yes"}, {"schema": 0}, {"schemes": [{"scheme": "none"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(PUBLISHED).validate({**outputs["full"], **change})
