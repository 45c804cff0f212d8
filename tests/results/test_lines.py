"""CSV blocks are split the same by the fast path and by the parser."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.results import lines
from collagebench.results.lines import split, whole_lines

NUL = "\0"
"""The CSV parser of Python 3.10 refuses this character."""
fields = st.text(st.characters(codec="utf-8", exclude_characters=f'",\r\n{NUL}'), max_size=8)


def rows_of(columns):
    """Return columns as rows."""
    return [list(row) for row in zip(*columns, strict=True)]


@given(st.lists(st.tuples(fields, fields, fields), min_size=1, max_size=20))
def test_plain_lines_are_split_as_the_parser_would(rows):
    """Without quotes, every field comes back as it was written, empty ones too, and as the CSV parser reads it."""
    block = "".join(",".join(row) + "\n" for row in rows)
    assert rows_of(split(block, 3)) == [list(row) for row in rows]
    assert rows_of(split(block, 3)) == list(csv.reader(StringIO(block, newline="")))


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters=f"\r\n{NUL}"), max_size=8), fields),
        min_size=1,
    )
)
def test_quoted_fields_go_through_the_parser(rows):
    """Commas and quotes inside quoted fields, as the standard library writes them, come back unchanged."""
    file = StringIO(newline="")
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    assert rows_of(split(file.getvalue(), 2)) == [list(row) for row in rows]


@pytest.mark.parametrize("block", ["a,b\nc\nd,e,f\n", "a,b,c,d\n", "a\nb\n", "a,b\n\n", '"a,b\n', "a,b\n,\nc\n"])
def test_lines_of_another_length_are_refused(block):
    """A block is refused if any line has too many or too few fields, even if they balance, or an open quote."""
    with pytest.raises((ValueError, csv.Error)):
        split(block, 2)


def test_other_line_ends_are_understood():
    """Lines that end in CR LF are read like those that end in LF."""
    assert rows_of(split("a,b\r\nc,d\r\n", 2)) == [["a", "b"], ["c", "d"]]


@given(st.text(st.sampled_from("ab,\n"), max_size=60), st.integers(1, 7))
def test_blocks_are_whole_lines(text, size):
    """The blocks together are the file, all but the last end a line, and a torn line is a block of its own."""
    original, lines.BLOCK = lines.BLOCK, size
    try:
        blocks = list(whole_lines(StringIO(text, newline="")))
    finally:
        lines.BLOCK = original
    assert "".join(blocks) == text
    assert all(block.endswith("\n") for block in blocks[:-1])
    assert "" not in blocks
    if blocks and not blocks[-1].endswith("\n"):
        assert "\n" not in blocks[-1]
