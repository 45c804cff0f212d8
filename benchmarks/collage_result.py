"""How close a collage comes to a fleet without stragglers, under each policy, at each load: the figures of docs/.

    python benchmarks/collage_result.py --data DIR [--profile collage-policies] [--only iid] [--loads 0.1,0.5]
        [--runs N] [--requests 4000] [--jobs 2] [--out DIR] [--csv FILE]

Each cell of the table is one `collagebench simulate` of a bundled profile on ten workers. `collage-result` compares
policies with replication and the best hedges; `collage-policies` compares when a mosaic may answer, how many cells it
has, and how many workers serve mosaics. DIR holds one folder of images for each class of CIFAR-10, for which models are
bundled, so that accuracy is that of real outputs; without it, images are generated. `iid` draws every service from the
paper's trace. The other scenarios give each worker one machine of that log, in four times as many runs of a quarter of
the requests, because each run has other machines.

Printed are the p99 in ms and its ratio to that of the bound (the same fleet without stragglers), and accuracy against
no redundancy in points; for `collage-result` also where a collage is slower than schemes that need no model, and which
parts of the target hold. A part that a figure meets, but not its whole 95 % interval, holds "by the figure alone".
Cells that are already in --out are not simulated again. Both profiles take an hour and a half on two cores (--jobs 2).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MACHINES = ["--stragglers", "collage-machines", "--slow-place"]
SCENARIOS = {
    "iid": [],
    "slow single": [*MACHINES, "first"],
    "slow collage": [*MACHINES, "last"],
    "nobody slow": [*MACHINES, "none"],
}
CHANGING = ("iid", "slow single")
"""The scenarios that change most with the load, and in which policies are compared."""
LOADS, FEWER = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7), (0.1, 0.3, 0.5, 0.7)
"""The default loads: those of these scenarios, and those of the others and of policies."""
CHANGED = 4
"""Scenarios with machines have so many times the runs, each with so many times fewer requests."""
COLLAGES = ("collage auto", "two all", "auto two")
MEANINGS = """
bound          the same ten workers and arrivals without stragglers or redundancy
collage wait   a mosaic goes out when it is full (the paper); idle: when the collage worker has nothing to do
hold 0.25      no answer of a collage before its request is 0.25 s old; auto, the default, finds that time by itself
auto all       the same, but every answer whose time has come is used; auto rejects the least sure ones
auto two       two of the ten workers for collages, one otherwise; two all: the same, all answers used
iid            every service is slow or not for itself; else each worker is one machine of the log for a whole run,
               and a single's is slow, the collage's, or nobody's"""
COLUMNS = ("scenario", "utilisation", "scheme", "p99_s", "p99_plus_minus_s", "p999_s", "accuracy", "difference",
           "difference_plus_minus", "recovered", "work")  # fmt: skip
Row = dict[str, Any]


def main() -> None:
    """Simulate, print, and judge the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--profile", choices=("collage-result", "collage-policies"), default="collage-result")
    parser.add_argument("--only", choices=list(SCENARIOS), action="append")
    parser.add_argument("--loads", type=lambda text: tuple(map(float, text.split(","))))
    parser.add_argument("--runs", type=int, help="[20 of collage-result, 10 of collage-policies]")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the run directories are kept")
    parser.add_argument("--csv", type=Path, help="a table of all figures")
    asked = parser.parse_args()
    out = asked.out or Path(tempfile.mkdtemp(prefix="collage-result-"))
    policies = asked.profile == "collage-policies"
    asked.runs = asked.runs or (10 if policies else 20)
    scenarios = asked.only or (CHANGING if policies else tuple(SCENARIOS))
    loads = {name: asked.loads or (FEWER if policies or name not in CHANGING else LOADS) for name in scenarios}
    cells = [(scenario, load) for scenario in scenarios for load in loads[scenario]]
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = list(pool.map(lambda cell: simulate(asked, cell[0], cell[1], out), cells))
    rows = [row for cell in found for row in cell]
    images = f"images below {asked.data}" if asked.data else "generated images"
    print(f"profile {asked.profile}, 10 workers, {asked.runs} runs x {asked.requests} requests a cell, {images}")
    print(MEANINGS)
    for scenario in scenarios:
        show(scenario, [row for row in rows if row["scenario"] == scenario], loads[scenario])
        if not policies:
            losses([row for row in rows if row["scenario"] == scenario])
            judge(scenario, [row for row in rows if row["scenario"] == scenario])
    if asked.csv:
        with asked.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def simulate(asked: argparse.Namespace, scenario: str, load: float, out: Path) -> list[Row]:
    """Return the rows of one cell, those of the schemes and of the bound."""
    changed = 1 if scenario == "iid" else CHANGED
    directory = out / f"{asked.profile}-{scenario.replace(' ', '-')}-{load}"
    command = [sys.executable, "-m", "collagebench", "simulate", "--out", str(directory)]
    if (directory / "run.json").exists():
        command.append("--resume")
    else:
        command += ["--profile", asked.profile, *SCENARIOS[scenario], "--utilisation", str(load)]
        command += ["--runs", str(asked.runs * changed), "--requests", str(asked.requests // changed)]
        command += ["--compute-time", "0.002"]
        command += ["--dataset", "imagefolder", "--data", str(asked.data)] if asked.data else []
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True)
    if done.returncode not in (0, 4):  # 4: replication's queues grow without end where it is overloaded
        sys.exit(done.stderr)
    schemes = json.loads(done.stdout)["schemes"]
    print(f"{scenario}, {load}: done", file=sys.stderr, flush=True)
    rows = [_row(scenario, load, scheme) for scheme in schemes]
    bound = next(scheme["bound"]["latency_s"]["p99"] for scheme in schemes if scheme["bound"])
    return [*rows, {**dict.fromkeys(COLUMNS), "scenario": scenario, "utilisation": load, "scheme": "bound",
                    "p99_s": f"{bound:.5f}"}]  # fmt: skip


def _row(scenario: str, load: float, scheme: dict[str, Any]) -> Row:
    versus = scheme["versus"] and scheme["versus"]["accuracy"]
    figures = {
        "p99_s": scheme["latency_s"]["p99"],
        "p99_plus_minus_s": _half(scheme["ci95_s"]["p99"]),
        "p999_s": scheme["latency_s"]["p999"],
        "accuracy": scheme["accuracy"]["overall"],
        "difference": versus["difference"] if versus else 0.0,
        "difference_plus_minus": _half(versus["ci95"]) if versus else 0.0,
        "recovered": scheme["sources"].get("collage", 0.0),
        "work": scheme["relative"]["executed"],
    }
    told = {name: "" if value is None else f"{value:.5f}" for name, value in figures.items()}
    return {"scenario": scenario, "utilisation": load, "scheme": scheme["variant"], **told}


def _half(interval: Sequence[float] | None) -> float | None:
    return (interval[1] - interval[0]) / 2 if interval else None


def show(scenario: str, rows: Sequence[Row], loads: Sequence[float]) -> None:
    """Print the scenario's tables: p99 and its ratio to the bound's, and accuracy beside no redundancy."""
    of = {(row["scheme"], row["utilisation"]): row for row in rows}
    names = list(dict.fromkeys(row["scheme"] for row in rows))
    print(f"\n{scenario}: p99 in ms (x the bound's)\n{'utilisation':16}" + "".join(f"{load:>14.1f}" for load in loads))
    for name in names:
        cells = [(float(of[name, load]["p99_s"]), float(of["bound", load]["p99_s"])) for load in loads]
        print(f"{name:16}" + "".join(f"{1e3 * p99:.0f} ({p99 / bound:.2f})".rjust(14) for p99, bound in cells))
    print("accuracy beside none, in points (share of answers from collages, in %)")
    for name in names:
        if any(float(of[name, load]["difference"] or 0) for load in loads):
            cells = [(float(of[name, load]["difference"]), float(of[name, load]["recovered"])) for load in loads]
            print(
                f"{name:16}" + "".join(f"{100 * points:8.2f} ({100 * share:.0f})".rjust(14) for points, share in cells)
            )


def losses(rows: Sequence[Row]) -> None:
    """Print for each collage at which loads the fastest scheme without a collage has a lower p99."""
    print("where a collage loses in p99")
    for name in COLLAGES:
        lost = []
        for load in dict.fromkeys(row["utilisation"] for row in rows):
            p99 = {row["scheme"]: float(row["p99_s"]) for row in rows if row["utilisation"] == load}
            own = p99[name]
            plain = [one for one in p99 if one in ("none", "replication") or one.startswith("hedge")]
            best = min(plain, key=p99.__getitem__)
            if p99[best] < own:
                lost.append(f"at {load} to {best} ({1e3 * p99[best]:.0f} against {1e3 * own:.0f} ms)")
        print(f"{name}: " + (",\n    ".join(lost) or "nowhere"))


def judge(scenario: str, rows: Sequence[Row]) -> None:
    """Print for each collage which parts of the target hold."""
    by_load: dict[float, dict[str, Row]] = {}
    for row in rows:
        by_load.setdefault(row["utilisation"], {})[row["scheme"]] = row
    low = [schemes for load, schemes in by_load.items() if load <= 0.5]
    if not low:
        return
    print("the target")
    for name in COLLAGES:
        ratios = [_ratio(schemes[name], schemes["bound"]) for schemes in low]
        far = max(ratio for ratio, _ in ratios)
        sure = all(ratio + half <= 1.15 for ratio, half in ratios)
        print(f"{name}: p99 at most {far:.2f} x the bound up to 0.5 (target 1.15): {_holds(far <= 1.15, sure)}")
        rows_of = [schemes[name] for schemes in low]
        lost = min(float(row["difference"]) for row in rows_of)
        sure = all(float(row["difference"]) - float(row["difference_plus_minus"] or "inf") >= -0.003 for row in rows_of)
        held = _holds(lost >= -0.003, sure)
        print(f"{name}: accuracy {100 * lost:+.2f} points at the worst up to 0.5 (target -0.3): {held}")
        if half := by_load.get(0.5):
            hedge = min((one for one in half if one.startswith("hedge")), key=lambda one: float(half[one]["p99_s"]))
            for other, factor in (("replication", 2.0), (hedge, 1.3)):
                reached, give = _ratio(half[other], half[name])
                held = _holds(reached >= factor, reached - give >= factor)
                print(f"{name}: {reached:.2f} x below {other} at 0.5 (target {factor}): {held}")


def _ratio(row: Row, other: Row) -> tuple[float, float]:
    """Return the ratio of two p99, and half of its 95 % interval if the two were independent.

    They share their arrivals and slowdowns, so the interval is too wide rather than too narrow. The bound has none.
    """
    ratio = float(row["p99_s"]) / float(other["p99_s"])
    unknown = {"bound": 0.0}  # that of others, with one run, may be anything
    parts = [
        float(one["p99_plus_minus_s"] or unknown.get(one["scheme"], math.inf)) / float(one["p99_s"])
        for one in (row, other)
    ]
    return ratio, ratio * math.hypot(*parts)


def _holds(is_so: bool, is_sure: bool) -> str:
    if not is_so:
        return "does not hold"
    return "holds" if is_sure else "holds by the figure alone"


if __name__ == "__main__":
    main()
