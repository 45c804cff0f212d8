"""The line of each key in a TOML file."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.toml_lines import key_lines, line_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HARD = '''# a comment = 1
workers = 1 # [[scheme]]
"quoted.key" = """
rate = 2
[[scheme]] \\""" and a quote at the end: """"
stragglers.dotted = [ 1, # ]
  "]", { inner = 3 },
]

[[scheme]]
name = 'one'
[scheme.more]
inline = {a = 1}
[[ scheme ]]  # again
name = "two"
  'grid' = \'\'\'
[[scheme]]
grid = 5
\'\'\'
date = 1979-05-27T07:32:00Z
[other . "table"]
last=1'''


def test_every_key_of_a_hard_file():
    """Keys are found despite comments, multi-line strings, lists, inline tables, and dotted and quoted keys."""
    tomllib.loads(HARD)
    assert key_lines(HARD) == {
        ("workers",): 2,
        ("quoted.key",): 3,
        ("stragglers",): 6,
        ("stragglers", "dotted"): 6,
        ("scheme",): 10,
        ("scheme", 0): 10,
        ("scheme", 0, "name"): 11,
        ("scheme", 0, "more"): 12,
        ("scheme", 0, "more", "inline"): 13,
        ("scheme", 1): 14,
        ("scheme", 1, "name"): 15,
        ("scheme", 1, "grid"): 16,
        ("scheme", 1, "date"): 20,
        ("other",): 21,
        ("other", "table"): 21,
        ("other", "table", "last"): 22,
    }


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_nothing_and_little(end):
    """An empty file has no keys, and the last line need not end in a line break."""
    assert key_lines("") == {}
    assert key_lines(f"# only this{end}") == {}
    assert key_lines(f"{end}{end}a = 1{end}b = 2") == {("a",): 3, ("b",): 4}


def test_the_nearest_line():
    """A key inside a value has the line on which the value begins; a missing key has none."""
    lines = key_lines('\nscheme = [\n  {name = "none"},\n]\n')
    assert line_of(lines, "scheme", 0, "name") == 2
    assert line_of(lines, "rate") is None


characters = st.sampled_from("ab \"'#[]{}=,.\\") | st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs", "Cc"))
names = st.text(characters, min_size=1, max_size=6)
texts = st.text(characters | st.just("\n"), max_size=12)


def quoted(text: str) -> str:
    """Return a basic TOML string on one line."""
    return json.dumps(text, ensure_ascii=True)


def several_lines(text: str) -> str:
    """Return a basic TOML string with its line breaks as they are."""
    return '"""' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'


scalars = (
    st.integers(-5, 5).map(str)
    | st.booleans().map(lambda value: str(value).lower())
    | texts.map(quoted)
    | texts.map(several_lines)
    | texts.filter(lambda text: "'''" not in text and not text.endswith("'")).map(lambda text: f"'''{text}'''")
)
lists = st.lists(scalars, max_size=3).map(lambda items: "[ # ]\n" + "".join(f"{item}, # [\n" for item in items) + "]")
tables = st.lists(scalars.filter(lambda item: "\n" not in item), max_size=2).map(
    lambda items: "{" + ", ".join(f"k{place} = {item}" for place, item in enumerate(items)) + "}"
)
noise = st.sampled_from(["", "\n", "# a = 1\n", "  \n\t# [[scheme]]\n"])
statements = st.tuples(noise, names, scalars | lists | tables)


@given(top=st.lists(statements, max_size=4), schemes=st.lists(st.lists(statements, max_size=3), max_size=3))
def test_lines_of_any_file(top, schemes):
    """With any values, every key of the file has the line that it was written on."""
    text, expected = "", {}

    def write(way: tuple[Any, ...], written: list[tuple[str, str, str]]) -> None:
        nonlocal text
        for before, name, value in written:
            if (*way, name) in expected:
                continue
            text += before
            expected[(*way, name)] = text.count("\n") + 1
            text += f"{quoted(name)} = {value}\n"

    expected[("scheme",)] = 0
    write((), top)
    del expected[("scheme",)]
    for number, written in enumerate(schemes):
        expected.setdefault(("scheme",), text.count("\n") + 1)
        expected[("scheme", number)] = text.count("\n") + 1
        text += "[[scheme]]\n"
        write(("scheme", number), written)
    data = tomllib.loads(text)
    assert key_lines(text) == expected
    assert {way for way in expected if len(way) == 1} == {(key,) for key in data}
