"""Links between the pages: every link and anchor resolves, and the README links to every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from real_processes import ROOT

README = Path(ROOT) / "README.md"
if not README.exists():
    pytest.skip("an installed package carries no docs", allow_module_level=True)
PAGES = [README, *sorted((README.parent / "docs").glob("*.md")), README.parent / "benchmarks" / "README.md"]


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures that are inside this project."""
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each link inside this project leads to a file that exists, and each anchor to a heading in it."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_readme() -> None:
    """The README links to each page of docs/ and to the page of the benchmarks."""
    linked = {(README.parent / link.partition("#")[0]).resolve() for link in links(README)}
    assert [page.name for page in PAGES if page != README and page.resolve() not in linked] == []
