"""The page about security: every section names tests, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from real_processes import ROOT

PAGE = Path(ROOT) / "docs" / "security.md"
if not PAGE.exists():
    pytest.skip("an installed package carries no docs", allow_module_level=True)

NAMED = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_the_tests_that_it_names_are_there(module: str, name: str) -> None:
    """Each test that the page names exists, as a module or as a function in one."""
    (path,) = (Path(ROOT) / "tests").rglob(module)
    assert f"def {name or 'test_'}" in path.read_text(encoding="utf-8")


def test_every_section_has_one() -> None:
    """Every section after the first, which says against whom the promises hold, names a test."""
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[2:]:
        assert re.search(r"`test_\w+\.py", section), section.splitlines()[0]
