"""What the tables for people are made of: their look, their paragraphs and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNKNOWN = "-"
TEXTS = ("scheme", "run", "source", "model", "code", "verdict", "what it does", "settings")
"""Columns of texts; all others hold figures."""
TIMES = ("shift", "tail", "scale", "median", "base", "slow_machine")
"""Parameters of stragglers that are seconds, and factors where draws are factors (see `stragglers.model`)."""
ENDLESS = 10_000
"""Characters of a line that no table needs."""
LONGEST_WORD = 14
"""Characters of a variant's name that a table of 80 columns has space for."""


def new_table(*headers: str) -> Table:
    """Return an empty table: texts to the left, figures to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), highlight=False)
    for header in headers:
        left = header in TEXTS
        table.add_column(Text(header), justify="left" if left else "right", no_wrap=not left, overflow="fold")
    return table


def print_table(table: Table, console: Console, dispensable: Sequence[str] = ()) -> list[str]:
    """Print a table, without the first of the `dispensable` columns that it is too wide for; return those.

    No figure is ever cut: a table that is still too wide is printed as wide as it is. A column without a header holds
    bars.
    """
    gone: list[str] = []
    for column in table.columns:
        lines = [line for cell in (column.header, *column.cells) for line in str(cell).split("\n")]
        widest = max(map(cell_len, lines))
        longest = max(cell_len(word) for line in lines for word in line.split(" "))
        column.min_width = widest if column.no_wrap else min(LONGEST_WORD, longest)
    left = list(dispensable)
    while (least := _least(table)) > console.width and left:
        header = left.pop(0)
        table.columns = [column for column in table.columns if str(column.header) != header]
        for place, column in enumerate(table.columns):
            column._index = place
        gone.append(header)
    _spare_the_edge(table, console)
    if least > console.width:
        table.width = least
    console.print(table, crop=False)
    if gone:
        print_line(console, f"too narrow for {', '.join(header or 'the bars' for header in gone)}", style="dim")
    return gone


def _least(table: Table) -> int:
    """Return how wide a table is when every column is as narrow as it may be."""
    widths = [column.min_width or 0 for column in table.columns]
    return sum(widths) + 2 * (len(widths) - 1)  # a blank and a divider, also blank, between two


def _spare_the_edge(table: Table, console: Console) -> None:
    """Take back what rich before 14.3 adds to the last column, for a blank behind it that is not printed."""
    for column in table.columns:
        column.max_width = column.min_width
    added = Measurement.get(console, console.options.update(max_width=ENDLESS), table).maximum - _least(table)
    for column in table.columns:
        column.max_width = None
    last = table.columns[-1]
    last.min_width = (last.min_width or 0) - added


def as_name(variant: str) -> str:
    """Return a variant's name with its long words broken behind their hyphens: a narrow column breaks them anywhere."""
    return " ".join("\n".join(_parts(word)) for word in variant.split(" "))


def name_lines(name: str, room: int) -> list[str]:
    """Return a name in lines of `room` characters: broken between words, and within a long word behind its hyphens."""
    lines = wrap(name, room, break_long_words=False, break_on_hyphens=False)
    return [part for line in lines for part in _parts(line)]


def _parts(word: str) -> list[str]:
    return wrap(word, LONGEST_WORD, break_long_words=False) or [word]


def print_line(console: Console, text: str, style: str = "", indent: str = "") -> None:
    """Print a paragraph; lines after the first are indented as far as `indent`."""
    lines = Text(text).wrap(console, max(20, console.width - len(indent)))
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(Text((indent if number == 0 else " " * len(indent)) + line.plain, style=style), highlight=False)


def as_ms(seconds: float | None) -> str:
    """Return seconds as milliseconds, to about three digits."""
    if seconds is None:
        return UNKNOWN
    ms = seconds * 1e3
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 1000 else f"{ms:.0f}"


def as_ms_range(ends: Sequence[float] | None) -> str:
    """Return the ends of an interval of seconds in milliseconds; nothing where there is none."""
    return f"{as_ms(ends[0])} to {as_ms(ends[1])}" if ends else ""


def as_times(value: float | None) -> str:
    """Return a ratio."""
    return UNKNOWN if value is None else f"{value:.2f}x"


def as_rate(value: float | None) -> str:
    """Return how many there are in a second."""
    return UNKNOWN if value is None else f"{value:.1f}"


def as_rates(ends: Sequence[float] | None) -> str:
    """Return the ends of an interval of how many there are in a second; nothing where there is none."""
    return f"{as_rate(ends[0])} to {as_rate(ends[1])}" if ends else ""


def as_load(rate: float) -> str:
    """Return requests a second to four digits, or all before the point."""
    return f"{rate:.4g}" if rate < 1e4 else f"{rate:,.0f}"


def as_percent(share: float | None) -> str:
    """Return a share in percent."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def as_interval(interval: Sequence[float] | None) -> str:
    """Return the ends of a share's interval in percent."""
    return UNKNOWN if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
