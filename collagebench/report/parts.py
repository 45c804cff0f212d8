"""Common parts of the terminal's tables: layout, paragraphs and formats of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from collagebench.statistics.paired import LEVEL

UNKNOWN = "-"
TEXTS = ("scheme", "run", "source", "model", "code", "verdict", "what it does", "settings")
"""Columns of text; all others hold figures."""
TIMES = ("shift", "tail", "scale", "median", "base", "slow_machine")
"""Parameters of stragglers in seconds, or factors if draws are factors (see `stragglers.model`)."""
ENDLESS = 10_000
"""A line of this many characters is wider than any table."""
LEAST = 1e-6
"""Smaller figures, such as less than a nanosecond in ms, are shown as 0: they may be mere rounding errors."""
LONGEST_WORD = 14
"""The most characters of a word in a variant's name that every table of 80 columns has space for."""


def new_table(*headers: str) -> Table:
    """Return an empty table; text is left-aligned, figures are right-aligned."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), highlight=False)
    for header in headers:
        left = header in TEXTS
        table.add_column(Text(header), justify="left" if left else "right", no_wrap=not left, overflow="fold")
    return table


def print_table(table: Table, console: Console, dispensable: Sequence[str] = ()) -> list[str]:
    """Print a table; if it is too wide, drop `dispensable` columns, in order, until it fits. Return the dropped ones.

    Words are broken only where the table would be too wide. No figure is ever truncated: a table that is still too wide
    is printed at its full width. A column without a header holds bars.
    """
    gone: list[str] = []
    _set_widths(table, most=ENDLESS)
    excess = _least(table) - console.width
    texts = [column for column in table.columns if not column.no_wrap]
    if excess > 0 and texts:
        most = max(LONGEST_WORD, max(column.min_width or 0 for column in texts) - excess)
        for column in texts:
            column._cells = [_broken(cell, most) if isinstance(cell, str) else cell for cell in column._cells]
        _set_widths(table, most)
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
    """Return the least width of a table."""
    widths = [column.min_width or 0 for column in table.columns]
    return sum(widths) + 2 * (len(widths) - 1)  # a space and a divider, also a space, between columns


def _set_widths(table: Table, most: int) -> None:
    """Give each column the width of its longest line or, where lines may wrap, of its longest word, at most `most`."""
    for column in table.columns:
        lines = [line for cell in (column.header, *column.cells) for line in str(cell).split("\n")]
        widest = max(map(cell_len, lines))
        longest = max(cell_len(word) for line in lines for word in line.split(" "))
        column.min_width = widest if column.no_wrap else min(most, longest)


def _spare_the_edge(table: Table, console: Console) -> None:
    """Remove what Rich before 14.3 adds to the last column for a trailing space that is not printed."""
    for column in table.columns:
        column.max_width = column.min_width
    added = Measurement.get(console, console.options.update(max_width=ENDLESS), table).maximum - _least(table)
    for column in table.columns:
        column.max_width = None
    last = table.columns[-1]
    last.min_width = (last.min_width or 0) - added


def _broken(name: str, most: int) -> str:
    """Return a name with words of over `most` characters broken after hyphens; Rich would break them anywhere."""
    return " ".join("\n".join(_parts(word, most)) for word in name.split(" "))


def name_lines(name: str, room: int) -> list[str]:
    """Split a name into lines of `room` characters: between words, and in long words after hyphens."""
    lines = wrap(name, room, break_long_words=False, break_on_hyphens=False)
    return [part for line in lines for part in _parts(line)]


def _parts(word: str, most: int = LONGEST_WORD) -> list[str]:
    return wrap(word, most, break_long_words=False) or [word]


def print_line(console: Console, text: str, style: str = "", indent: str = "") -> None:
    """Print a paragraph that begins with `indent`; further lines are indented by its width."""
    lines = Text(text).wrap(console, max(20, console.width - len(indent)))
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(Text((indent if number == 0 else " " * len(indent)) + line.plain, style=style), highlight=False)


def with_decimals(value: float, decimals: int, sign: str = "") -> str:
    """Return a figure with so many decimals; one below 0.1, of which they would leave little, has three digits.

    `sign` is "+" for a difference, which always has a sign, and two digits if it is small.
    """
    digits = 2 if sign else 3
    return f"{value:{sign}#.{digits}g}" if LEAST <= abs(value) < 0.1 else f"{value:{sign}.{decimals}f}"


def as_ms(seconds: float | None) -> str:
    """Return seconds in milliseconds, to about three digits."""
    if seconds is None:
        return UNKNOWN
    ms = seconds * 1e3
    return with_decimals(ms, 2 if ms < 10 else 1 if ms < 1000 else 0)


def as_ms_range(ends: Sequence[float] | None) -> str:
    """Return the ends of an interval of seconds in milliseconds; empty if there is no interval."""
    return f"{as_ms(ends[0])} to {as_ms(ends[1])}" if ends else ""


def as_seconds(seconds: float | None) -> str:
    """Return seconds, to a tenth, or to three digits if they are less."""
    return UNKNOWN if seconds is None else with_decimals(seconds, 1)


def as_times(value: float | None) -> str:
    """Return a ratio."""
    return UNKNOWN if value is None else f"{value:.2f}x"


def as_p(p: float) -> str:
    """Return a p value to two digits, or as many as show on which side of the level of significance it is."""
    digits = 2
    while (float(f"{p:.{digits}g}") <= LEVEL) is not (p <= LEVEL):
        digits += 1
    return f"{p:.{digits}g}"


def as_rate(value: float | None) -> str:
    """Return a number per second, to a tenth, or to a hundredth if it is less than 1."""
    return UNKNOWN if value is None else with_decimals(value, 2 if value < 1 else 1)


def as_rates(ends: Sequence[float] | None) -> str:
    """Return the ends of an interval of numbers per second; empty if there is no interval."""
    return f"{as_rate(ends[0])} to {as_rate(ends[1])}" if ends else ""


def as_load(rate: float) -> str:
    """Return requests per second, to four digits, or as a whole number if it has more."""
    return f"{rate:.4g}" if rate < 1e4 else f"{rate:,.0f}"


def as_percent(share: float | None) -> str:
    """Return a share in percent."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def as_interval(interval: Sequence[float] | None) -> str:
    """Return the ends of a share's interval in percent."""
    return UNKNOWN if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
