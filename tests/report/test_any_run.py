"""Every format accepts any run: without runs, with one request, with failures only, with times of 0 or of hours."""

from __future__ import annotations

import csv
import json
import tempfile
from io import StringIO
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_run import make_run
from test_html import Reader

from collagebench.report.csv import rows
from collagebench.report.html import page
from collagebench.report.markdown import markdown
from collagebench.report.summary import summarise
from collagebench.report.trace import trace
from collagebench.results.reader import load

LATENCIES = st.lists(
    st.none() | st.just(0.0) | st.floats(1e-9, 1e-6) | st.floats(1e-6, 1e4) | st.just(0.01), min_size=1, max_size=12
)
NAMES = st.text(st.characters(exclude_characters=',"\n\r', exclude_categories=["C", "Z"]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(NAMES, st.lists(LATENCIES, max_size=3), min_size=1, max_size=4),
    st.sampled_from(["live", "simulated"]),
    st.sampled_from(["done", "interrupted", "failed"]),
    st.booleans(),
)
def test_every_format_takes_any_run(latencies, engine, status, warmup):
    """The page is well-formed and names every scheme, the CSV has a row for each, the trace is JSON."""
    with tempfile.TemporaryDirectory() as room:
        directory = make_run(
            Path(room) / "run", latencies, status=status, header={"engine": engine}, warmup=warmup, service=0.0
        )
        run = load(directory)
        summary = summarise([run])
        texts = Reader(page(summary, [run], ["run"])).texts
        assert all(name in texts for name in latencies)
        assert markdown(summary).startswith(("**VALID**", "**INVALID**"))
        assert len(list(csv.reader(StringIO(rows(summary, ["run"]))))) == 1 + len(latencies)
        json.loads(trace([run], ["run"])[0])
        both = summarise([run, run])
        Reader(page(both, [run, run], ["run", "run"]))
        assert markdown(both)
