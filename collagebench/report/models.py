"""The tables of `evaluate`: one line for every model, and further tables for some roles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.text import Text

from collagebench.report.parts import (
    UNKNOWN,
    as_interval,
    as_ms,
    as_percent,
    as_times,
    new_table,
    print_line,
    print_table,
)

BUSY = 1.25
"""A machine counts as busy if inferences take longer than this multiple of their processor time."""


def print_models(found: dict[str, Any], console: Console) -> None:
    """Print the object that `evaluate` made."""
    print_line(console, _conditions(found))
    models = found["models"]
    prefixes = {f"{model['dataset']}-" for model in models}
    prefix = prefixes.pop() if len(prefixes) == 1 else ""
    table = new_table("model", "accuracy", "95 % range", "MMAC", "param", "kB", "ms", "ratio")
    for model in models:
        accuracy = model["accuracy"] or {"value": None, "ci95": None}
        table.add_row(
            model["name"].removeprefix(prefix),
            as_percent(accuracy["value"]),
            as_interval(accuracy["ci95"]),
            f"{model['macs'] / 1e6:.3g}",
            f"{model['parameters'] / 1e3:.0f}k",
            f"{model['bytes'] / 1e3:.0f}",
            as_ms(model["latency_s"]),
            as_times(model["latency_ratio"]),
        )
        if batch := model["batch"]:
            table.add_row(
                f"  {batch['images']} in one batch",
                *[""] * 5,
                as_ms(batch["latency_s"]),
                as_times(batch["latency_ratio"]),
            )
    print_table(table, console)
    console.print()
    for column, meaning in _legend(models).items():
        print_line(console, meaning, indent=f"{column:<9}", style="dim")
    console.print()
    busy = max(
        time["latency_by_clock_s"] / time["latency_s"] for model in models for time in (model, model["batch"] or model)
    )
    if busy > BUSY:
        print_line(
            console,
            f"other work slowed this machine: by the clock, inferences took up to {busy:.1f}x the processor time",
            indent="note: ",
        )
        console.print()
    left = [model for model in models if model["not_evaluated"]]
    for model in left:
        what = model["name"] if model["accuracy"] is None else f"{model['name']} with lost shares"
        print_line(console, f"{what} is not evaluated: {model['not_evaluated']}", indent="note: ")
    if left:
        console.print()
    for model in models:
        for name, times in (model["batch"] or {"collages": {}})["collages"].items():
            print_line(console, f"A batch of nine of {model['name']} takes {as_times(times)} as long as {name}.")
            console.print()
    _print_codes([model for model in models if model["coded"]], console)
    for model in models:
        if model["by_cell"]:
            _print_collage(model, console)


def _conditions(found: dict[str, Any]) -> str:
    which = {"test": "test", "train": "held-out training"}[found["split"]]
    return (
        f"{found['images']:,} of {found['images_available']:,} {which} images of {found['dataset']}; latencies with "
        "one thread, medians; all models took turns in one run"
    )


def _legend(models: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the meaning of the columns for the roles present."""
    roles = {model["role"] for model in models}
    parts = ["of images"] if roles - {"collage", "parity"} else []
    if "collage" in roles:
        parts.append("of a collage: of the cells of full mosaics")
    if "parity" in roles:
        parts.append("of a parity: of answers decoded with the single's outputs for the others")
    if "coded" in roles:
        parts.append("of a coded model: of images as they are")
    return {
        "accuracy": "; ".join(parts),
        "ms": "processor time of one inference (one whole mosaic for a collage): the latency on an idle core",
        "ratio": "latency / that of the single",
    }


def _print_codes(models: Sequence[dict[str, Any]], console: Console) -> None:
    if not models:
        return
    k, s = models[0]["coded"]["k"], models[0]["coded"]["s"]
    print_line(console, f"reconstructed answers: {_code(k, s)}", style="bold")
    table = new_table("model", "code", "accuracy", "95 % range")
    for model in models:
        coded = model["coded"]
        smoothing = f"nercc, smoothing {coded['smooth_encode']:.3g} and {coded['smooth_decode']:.3g}"
        for name, code in ((model["name"], "approxifer"), ("", "nercc")):
            accuracy = coded[code]
            table.add_row(
                name,
                smoothing if code == "nercc" else code,
                as_percent(accuracy["value"]),
                as_interval(accuracy["ci95"]),
            )
    print_table(table, console)
    console.print()


def _code(k: int, s: int) -> str:
    return f"{k} image{'s' * (k > 1)} in {k + s} coded ones, of which {s or 'none'} {'are' if s > 1 else 'is'} lost"


def _print_collage(model: dict[str, Any], console: Console) -> None:
    """Print a collage's accuracy by position of the cell, beside that by number of blank cells."""
    grid, by_cell, by_blanks = model["grid"], model["by_cell"], model["by_blanks"]
    ends = [accuracy["ci95"] for accuracy in by_cell]
    half = max(high - low for low, high in ends) / 2
    print_line(
        console,
        f"{model['name']}: accuracy in percent by cell (give or take {100 * half:.1f}), and of the filled cells when "
        "the last ones are blank",
        style="bold",
    )
    cells = [100 * accuracy["value"] for accuracy in by_cell]
    left = [" ".join(f"{value:5.1f}" for value in cells[row : row + grid]) for row in range(0, len(cells), grid)]
    shown = _spread(len(by_blanks), (64 - 6 * grid) // 6)  # as many as fit in 80 columns
    right = [
        "blank cells " + "".join(f"{blanks:6d}" for blanks in shown),
        "accuracy    " + "".join(f"{100 * by_blanks[blanks]['value']:6.1f}" for blanks in shown),
    ]
    for cell_row, text in zip_longest(left, right, fillvalue=""):
        line = f"  {cell_row:<{6 * grid}}  {text}"
        console.print(Text(line.rstrip()), highlight=False)
    if silent := model["no_answer"]:
        found = f"no answer for {as_percent(silent['value'])} of the cells (95 % range {as_interval(silent['ci95'])})"
        print_line(console, f"{found}, which count as wrong", indent="  ")
    console.print()


def _spread(counts: int, most: int) -> list[int]:
    """Return up to `most` numbers from 0 to counts - 1, evenly spread, with both ends."""
    shown = min(counts, most)
    return sorted({round(place * (counts - 1) / max(shown - 1, 1)) for place in range(shown)})


def print_tuned(found: dict[str, Any], console: Console) -> None:
    """Print the object that `evaluate --tune` made."""
    tuned = found["tuned"]
    print_line(
        console,
        f"NeRCC, {_code(tuned['k'], tuned['s'])}; "
        f"{found['images']:,} {'held-out training ' if found['split'] == 'train' else ''}images of {found['dataset']}",
    )
    table = new_table("model", "smooth encode", "smooth decode", "accuracy", "95 % range")
    for name, encode, decode, accuracy in (
        ("without smoothing", 0.0, 0.0, tuned["unsmoothed"]),
        ("tuned", tuned["smooth_encode"], tuned["smooth_decode"], tuned["accuracy"]),
        ("approxifer", None, None, tuned["approxifer"]),
    ):
        table.add_row(
            name,
            *(UNKNOWN if value is None else f"{value:.3g}" for value in (encode, decode)),
            as_percent(accuracy["value"]),
            as_interval(accuracy["ci95"]),
        )
    print_table(table, console)
    note = "tuned: each half of the groups is measured with the smoothing that is best for the other half"
    print_line(console, note, style="dim")
    console.print()
    if tuned["accuracy"]["value"] < tuned["unsmoothed"]["value"]:
        print_line(console, "No smoothing is shown to help here; more --images would tell.", style="bold")
        return
    print_line(console, "Use it:", style="bold")
    console.print(
        Text(f"  --smooth-encode {tuned['smooth_encode']:.3g} --smooth-decode {tuned['smooth_decode']:.3g}"),
        highlight=False,
    )
    print_line(console, "with `collagebench run --scheme nercc` or `simulate`, or the same keys in a profile.")
