"""How a report compares the injected delays with those asked for."""

from __future__ import annotations

from io import StringIO
from xml.etree import ElementTree

import pytest
from rich.console import Console
from synthetic_run import HEADER, cell, request, task

from collagebench.report.html import page
from collagebench.report.injection import injection
from collagebench.report.summary import summarise
from collagebench.report.table import print_summary
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter

SCHEMES = [{"scheme": "none", "variant": "none", "allotment": {"single": 10}, "options": {}}]


@pytest.fixture
def run(tmp_path):
    """Return a live run with floors of 100 ms: 40 services are 0.2 ms late, and 10 exceed the floor by inference."""
    return made(tmp_path, 0.1002)


def made(tmp_path, service):
    """Return the run of which 40 services take `service` seconds."""
    writer = RunWriter(
        tmp_path / "run", {**HEADER, "schemes": SCHEMES, "service": {**HEADER["service"], "mode": "floor"}}
    )
    for number in range(50):
        writer.request(request(number=number))
        if number < 40:
            writer.task(task(number=number, asked=0.1, wanted_s=0.1, service=service))
        else:
            writer.task(task(number=number, asked=0.1, wanted_s=0.12, compute=0.12, service=0.12))
    writer.cell(cell(requests=50))
    writer.finish("done")
    writer.close()
    return load(tmp_path / "run")


def test_details_show_it_for_each_scheme(run):
    """The details have a row for each scheme: services, p50 and p99 of the error, and how many exceeded their floor."""
    file = StringIO()
    print_summary(summarise([run]), Console(file=file, width=80, no_color=True), True)
    row = next(line for line in file.getvalue().splitlines() if "(20.0 %)" in line)
    assert row.split() == ["none", "50", "0.20", "0.20", "10", "(20.0", "%)"]


def test_page_says_it_under_the_plot(run):
    """The caption of the plot has both quantiles, and the number of tasks whose inference alone exceeded the floor."""
    text = page(summarise([run]), [run], ["run"])
    assert "missed the service time asked for by 0.20 ms (median), 0.20 ms (p99). 50 tasks." in text
    assert "In 10 of them (20.0 %) inference alone took longer than the floor." in text


def test_labels_of_large_errors_fit_beside_the_plot(tmp_path):
    """Where delays are off by a minute and more, the labels of the vertical axis are whole."""
    drawn = ElementTree.fromstring(injection("k", made(tmp_path, 150.0)))
    ends = [text for text in drawn.iter("text") if text.get("text-anchor") == "end"]
    assert max(len(text.text) for text in ends) > 5
    assert all(float(text.get("x")) - 6.7 * len(text.text) > -1 for text in ends)
