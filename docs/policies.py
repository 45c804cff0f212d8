"""Write the tables and draw the curves of docs/collage-policy.md from measurements of benchmarks/collage_result.py.

    python docs/policies.py        rewrites the tables of the page, and docs/collage-policy/curves.svg

The measurements are docs/collage-policy/*.csv, one row for each scheme at each load; the page marks the place of each
table by its name. A test compares page and picture with what would be written today.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / "collage-policy"
PAGE = HERE / "collage-policy.md"

Row = dict[str, str]
Cells = dict[tuple[str, str, str], Row]
"""Rows by scenario, scheme and utilisation."""
AXIS = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")
BEST = "the best hedge"
SHOWN = {
    "none": "none", "replication": "replication", BEST: BEST, "collage wait": "collage `wait`",
    "collage idle": "collage `idle`", "idle hold 0.25": "`idle`, `--hold 0.25`", "auto all": "`auto`, `--reject 0`",
    "collage auto": "**collage `auto`**", "two all": "two workers, `--reject 0`",
    "auto two": "**`auto`, two workers**",
}  # fmt: skip
"""The rows of a table of results, by scheme."""

SCENARIOS = {
    "iid": "every service drawn for itself",
    "slow single": "one machine slow, a single's",
    "slow collage": "one machine slow, the collage's",
    "nobody slow": "no slow machine",
}
JUDGED = {"collage auto": "`auto`", "two all": "two workers, `--reject 0`", "auto two": "`auto`, two workers"}
"""The schemes in the tables of the target."""
CURVES = {"none": "none", "replication": "repl", BEST: "hedge", "collage idle": "idle", "collage auto": "auto",
          "auto two": "two"}  # fmt: skip
"""The schemes that are drawn, with their CSS classes."""
NAMES = {"none": "none", "replication": "replication", BEST: BEST, "collage idle": "collage idle",
         "collage auto": "collage auto", "auto two": "collage auto, two workers"}  # fmt: skip
WIDTH, HEIGHT = 680, 560
PANEL_WIDTH, PANEL_HEIGHT = 268, 190
LEFT, TOP, ACROSS, DOWN = 52, 62, 336, 244
RATIOS = (0.75, 1, 1.15, 1.5, 2, 3)
LOWEST, HIGHEST = 0.7, 3.4
STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.b{font-weight:600}.m{fill:#59636e}.c{text-anchor:middle}.e{text-anchor:end}
.page{fill:#fff;stroke:#d1d9e0}.grid{stroke:#d1d9e0}.one{stroke:#59636e}.target{stroke:#59636e;stroke-dasharray:4 3}
.l{fill:none;stroke-width:1.8}.none{stroke:#818b98}.repl{stroke:#a0522d;stroke-dasharray:6 3}
.hedge{stroke:#b54a00}.idle{stroke:#7440c4;stroke-dasharray:2 3}.auto{stroke:#7440c4;stroke-width:2.6}
.two{stroke:#0b5fcc;stroke-width:2.6}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.m{fill:#9aa4af}.page{fill:#0d1117;stroke:#3d444d}
.grid{stroke:#3d444d}.one,.target{stroke:#9aa4af}.repl{stroke:#c98a5e}.hedge{stroke:#f0883e}
.idle,.auto{stroke:#b392f0}.two{stroke:#4c95f5}}
""".strip()


def read(name: str) -> Cells:
    """Return a table of measurements, the best hedge of each cell as a scheme of its own."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = {(row["scenario"], row["scheme"], row["utilisation"]): row for row in rows}
    for scenario, _, load in list(cells):
        hedges = [
            row for (where, name, at), row in cells.items() if (where, at) == (scenario, load) and "hedge" in name
        ]
        if hedges and (scenario, BEST, load) not in cells:
            cells[scenario, BEST, load] = min(hedges, key=lambda row: float(row["p99_s"]))
    return cells


def ratio(cells: Cells, scenario: str, scheme: str, load: str) -> float:
    """Return the p99 of a scheme as a multiple of the bound's."""
    return float(cells[scenario, scheme, load]["p99_s"]) / float(cells[scenario, "bound", load]["p99_s"])


def points(cells: Cells, scenario: str, scheme: str, load: str) -> float:
    """Return by how many points of accuracy a scheme is better than no redundancy."""
    return 100 * float(cells[scenario, scheme, load]["difference"])


def loads_of(cells: Cells, scenario: str) -> list[str]:
    """Return the utilisations at which a scenario was measured."""
    return sorted({load for where, _, load in cells if where == scenario})


def tables() -> dict[str, str]:
    """Return the page's tables by name."""
    result, policies = read("result"), read("policies")
    found = {}
    for scenario in SCENARIOS:
        found[scenario] = _table("p99 / bound", loads_of(result, scenario), _tails(result, scenario))
        found[f"target, {scenario}"] = _table("target", list(JUDGED.values()), _target(result, scenario))
    collages = {name: told for name, told in SHOWN.items() if name not in ("none", "replication", BEST)}
    for scenario in ("iid", "slow single"):
        loads = loads_of(result, scenario)
        rows = [
            (told, [f"{points(result, scenario, name, load):+.2f}" for load in loads])
            for name, told in collages.items()
        ]
        found[f"accuracy, {scenario}"] = _table("points of accuracy", loads, rows)
    for scenario in ("iid", "slow single"):
        loads = loads_of(policies, scenario)
        names = dict.fromkeys(scheme for where, scheme, _ in policies if where == scenario and " on " in scheme)
        rows = [(_policy(name), [_both(policies, scenario, name, load) for load in loads]) for name in names]
        found[f"policies, {scenario}"] = _table("grid, workers, policy", loads, rows)
    return found


def _tails(cells: Cells, scenario: str) -> Iterable[tuple[str, list[str]]]:
    loads = loads_of(cells, scenario)
    for name, told in SHOWN.items():
        ratios = [ratio(cells, scenario, name, load) for load in loads]
        yield told, [f"{one:.2f}" if one < 10 else "> 10" for one in ratios]
    yield "which hedge that is", [cells[scenario, BEST, load]["scheme"].replace("hedge-idle", "idle") for load in loads]
    yield "the bound, ms", [f"{1e3 * float(cells[scenario, 'bound', load]['p99_s']):.0f}" for load in loads]


def _target(cells: Cells, scenario: str) -> Iterable[tuple[str, list[str]]]:
    low = [load for load in loads_of(cells, scenario) if float(load) <= 0.5]
    far = {name: max(ratio(cells, scenario, name, load) for load in low) for name in JUDGED}
    yield "p99 at most 1.15 x the bound up to 0.5", [_marked(far[name], "x", far[name] <= 1.15) for name in JUDGED]
    lost = {name: min(points(cells, scenario, name, load) for load in low) for name in JUDGED}
    yield "accuracy within 0.3 points up to 0.5", [_marked(lost[name], "", lost[name] >= -0.3) for name in JUDGED]
    for other, factor in (("replication", 2.0), (BEST, 1.3)):
        below = {name: ratio(cells, scenario, other, "0.5") / ratio(cells, scenario, name, "0.5") for name in JUDGED}
        yield (
            f"{factor:g} x below {other} at 0.5",
            [_marked(below[name], "x", below[name] >= factor) for name in JUDGED],
        )


def _marked(value: float, unit: str, holds: bool) -> str:
    return f"{value:{'+' if value < 0 else ''}.2f}{unit}, {'holds' if holds else 'no'}"


def _policy(name: str) -> str:
    match = re.fullmatch(r"(\S+) on (\d) (.*)", name)
    assert match
    shape, workers, what = match.groups()
    named = {"idle": "`idle`", "auto": "**`auto`**", "p99": "`auto`, hold p99", "all": "`auto`, reject 0"}
    return f"{shape}, {workers}: {named.get(what, f'`idle`, hold {what}')}"


def _both(cells: Cells, scenario: str, scheme: str, load: str) -> str:
    return f"{ratio(cells, scenario, scheme, load):.2f}, {points(cells, scenario, scheme, load):+.2f}"


def _table(title: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    lines = [f"| {title} | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)])


def page(text: str) -> str:
    """Return the page with new tables, each between `<!-- table: NAME -->` and the next comment."""
    found = tables()

    def written(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n\n{found[match[1]]}\n\n<!-- end -->"

    return re.sub(r"<!-- table: (.+?) -->\n.*?<!-- end -->", written, text, flags=re.DOTALL)


def curves() -> str:
    """Return the SVG: for each scenario the p99 of the schemes as a multiple of the bound's, against utilisation."""
    cells = read("result")
    parts = [f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="6"/>']
    parts.append('<text class="b" x="16" y="24">p99 as a multiple of that of a fleet without stragglers</text>')
    said = []
    for number, (scenario, told) in enumerate(SCENARIOS.items()):
        left, top = LEFT + number % 2 * ACROSS, TOP + number // 2 * DOWN
        parts += _panel(cells, scenario, told, left, top)
        for name in CURVES:
            values = ", ".join(f"{ratio(cells, scenario, name, load):.2f}" for load in loads_of(cells, scenario))
            said.append(f"{told}, {NAMES[name]}: {values}.")
    for number, (name, style) in enumerate(CURVES.items()):
        x, y = 16 + number % 3 * 210, HEIGHT - 30 + number // 3 * 18
        parts.append(f'<path class="l {style}" d="M{x} {y - 4}h26"/><text x="{x + 34}" y="{y}">{NAMES[name]}</text>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" aria-labelledby="t d">'
    )
    title = '<title id="t">p99 under each scheme against utilisation</title>'
    return "\n".join(
        [head, title, f'<desc id="d">{escape(" ".join(said))}</desc>', f"<style>{STYLE}</style>", *parts, "</svg>\n"]
    )


def _panel(cells: Cells, scenario: str, told: str, left: float, top: float) -> Iterable[str]:
    yield f'<text class="b" x="{left}" y="{top - 12}">{told}</text>'
    x: Callable[[str], float] = lambda load: left + PANEL_WIDTH * (float(load) - 0.07) / 0.66  # noqa: E731
    for value in RATIOS:
        style = {1: "one", 1.15: "target"}.get(value, "grid")
        yield f'<path class="{style}" d="M{left} {_height(value, top):.1f}h{PANEL_WIDTH}"/>'
        yield f'<text class="m e" x="{left - 6}" y="{_height(value, top) + 4:.1f}">{value:g}x</text>'
    for load in AXIS:
        yield f'<text class="m c" x="{x(load):.1f}" y="{top + PANEL_HEIGHT + 16}">{load}</text>'
    for name, style in CURVES.items():
        line: list[str] = []
        for load in loads_of(cells, scenario):
            one = ratio(cells, scenario, name, load)
            line.append(f"{x(load):.1f} {_height(min(one, HIGHEST), top):.1f}")
            if one > HIGHEST:  # it leaves the picture
                break
        yield f'<path class="l {style}" d="M{"L".join(line)}"/>'


def _height(value: float, top: float) -> float:
    return top + PANEL_HEIGHT * math.log(HIGHEST / value) / math.log(HIGHEST / LOWEST)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    (DATA / "curves.svg").write_text(curves(), encoding="utf-8")
    print(PAGE, DATA / "curves.svg")
