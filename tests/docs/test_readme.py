"""The README's first screen: its picture and its table show the same run."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from real_processes import ROOT

README = Path(ROOT) / "README.md"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.skipif(not README.exists(), reason="an installed package carries no README file")
def test_table_and_picture_are_of_one_run() -> None:
    """The picture's headline, its conditions and each scheme's accuracy are also in the README's table."""
    text = README.read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\((.+?\.svg)\)", text)
    assert pictures == ["docs/first-run.svg"]
    drawn = ElementTree.parse(README.parent / pictures[0]).getroot()
    table = " ".join(text.split("```")[3].split())
    heads = [line for line in drawn.findall(f"{SVG}text") if line.get("class") != "caption"]
    headline = " ".join(line.text or "" for line in heads if line.get("class") == "head")
    assert headline in table
    conditions = " ".join(line.text or "" for line in heads if line.get("class") == "soft").partition(" Beside")[0]
    assert conditions in table
    dots = re.findall(r">([\w-]+) (\d+\.\d) %<", ElementTree.tostring(drawn, encoding="unicode"))
    assert len(dots) == 5
    for scheme, accuracy in dots:
        assert re.search(rf"(?<!\S){scheme} .*? {accuracy} %", table)
