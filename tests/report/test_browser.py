"""The HTML page in a real browser: a phone and a desktop, light and dark, with a script and without."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from reported import reported
from synthetic_run import lognormal, make_run

from collagebench.report.html import page
from collagebench.report.summary import summarise
from collagebench.results.reader import load

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives a browser")

SCHEMES = 13
OVERLAPS = """
() => {
  const found = [];
  for (const svg of document.querySelectorAll("figure svg")) {
    const inside = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([text, box], place) => {
      if (box.left < inside.left - 12 || box.right > inside.right + 12) found.push(`${svg.parentNode.id}: ${text}`);
      for (const [other, its] of texts.slice(place + 1)) {
        const wide = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const high = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        if (wide > 1 && high > 3) found.push(`${svg.parentNode.id}: ${text} / ${other}`);
      }
    });
  }
  return found;
}
"""
"""Finds texts of plots that overlap or stick out of their plot."""


@pytest.fixture(scope="module")
def browser():
    """Return Chromium: the system's, or else playwright's own."""
    with playwright.sync_playwright() as driver:
        names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
        path = next((found for name in names if (found := shutil.which(name))), driver.chromium.executable_path)
        if not Path(path).exists():
            pytest.skip("needs a Chromium: none is installed")
        rootless = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = driver.chromium.launch(executable_path=path, args=rootless)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the pages of one run, of one with many schemes, and of two runs."""
    room = tmp_path_factory.mktemp("browser")
    few = load(reported(room / "few"))
    names = tuple(f"scheme-{number}" + "-with-a-long-name" * (number % 3 == 0) for number in range(SCHEMES))
    many = load(reported(room / "many", names, requests=80, engine="simulated"))
    pages = {"few": [few], "many": [many], "two": [few, many]}
    for name, runs in pages.items():
        text = page(summarise(runs), runs, [run.directory.name for run in runs])
        (room / f"{name}.html").write_text(text, encoding="utf-8")
    return room


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["few", "many", "two"])
def test_page_fits_and_is_quiet(browser, files, name, width, scheme):
    """The page fits the screen, texts of a plot do not overlap, the console is empty, and nothing else is loaded."""
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab = context.new_page()
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((files / f"{name}.html").as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach((folded) => { folded.open = true })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(OVERLAPS) == []
    assert said == []
    assert asked == [(files / f"{name}.html").as_uri()]
    context.close()


def test_page_is_whole_without_a_script(browser, files):
    """Without JavaScript, verdict and plots are visible, and unticking a box hides its scheme."""
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((files / "few.html").as_uri())
    assert tab.locator(".badge").first.is_visible()
    assert tab.locator("figure svg").count() >= 8
    curve = tab.locator("#r0-tail .curve.scheme-1").first
    assert curve.is_visible()
    tab.locator("#show-1").uncheck()
    assert not curve.is_visible()
    context.close()


def test_curves_can_be_read_off(browser, files):
    """Under the pointer the page shows the time and each visible scheme's share, and nothing without a pointer."""
    tab = browser.new_page()
    tab.goto((files / "few.html").as_uri())
    tab.locator("#show-0").uncheck()
    tab.locator("#r0-cdf .reader").hover()
    said = tab.locator("#r0-cdf .readout").inner_text()
    assert " ms: replication " in said
    assert "none" not in said
    assert "alert" in said
    tab.mouse.move(0, 0)
    assert tab.locator("#r0-cdf .readout").inner_text() == ""
    tab.close()


def test_small_times_can_be_read_off(browser, tmp_path):
    """Under the pointer a time below 1 ms has three digits."""
    run = load(make_run(tmp_path / "run", {"none": lognormal(1, 2, 100, 1e-5)}, lag=0.0))
    (tmp_path / "small.html").write_text(page(summarise([run]), [run], ["run"]), encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "small.html").as_uri())
    tab.locator("#r0-cdf .reader").hover()
    assert re.match(r"0\.00?[1-9]\d\d ms: none ", tab.locator("#r0-cdf .readout").inner_text())
    tab.close()


def test_the_page_is_printed_whole(browser, files):
    """What is folded on the screen, from notes to the config, is unfolded for print, and folded again afterwards."""
    tab = browser.new_page()
    tab.goto((files / "many.html").as_uri())
    assert tab.locator(".verdict details").count() > 0
    tab.locator("main details", has_text="Answers by source").locator("summary").first.click()
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    assert all(part.is_visible() for part in tab.locator(".verdict details li").all())
    assert all(part.is_visible() for part in tab.locator("main details :is(table, pre, figure)").all())
    assert tab.locator("pre", has_text='"workers": 10').is_visible()
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("details[open] > summary").all_inner_texts() == ["Answers by source"]
    tab.close()


def test_a_long_name_is_whole_on_a_phone(browser, files):
    """A long name wraps on a phone instead of being cut, because names often differ only at their ends."""
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    tab.goto((files / "many.html").as_uri())
    assert tab.locator("th .name").count() >= SCHEMES
    cut = "() => [...document.querySelectorAll('th .name')].filter((n) => n.scrollWidth > n.clientWidth + 1).length"
    outside = """() => [...document.querySelectorAll('th .name')].filter((n) =>
        n.getBoundingClientRect().right > n.closest('th').getBoundingClientRect().right).length"""
    assert tab.evaluate(cut) == tab.evaluate(outside) == 0
    tab.close()
