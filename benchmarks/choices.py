"""How good the choices of `collagebench recommend` are: how far from the best, and how often "Use" is wrong.

    python benchmarks/choices.py [--runs 60] [--of 10] [--draws 40] [--requests 500] [--only NAME] [--out DIRECTORY]

Every candidate is simulated on each fleet, with --runs runs. Then the question is asked --draws times, each time of
--of of these runs, drawn at random. What all runs together say is taken as the truth, which they know only so well: one
run in sixty with a rare disaster moves a p99 far.

Asked without an SLO: by how many times the choice's true p99 exceeds the lowest (the mean, the value that nine tenths
do not exceed, and the worst), and its work, beside that of the cheapest that is truly at most 5 % slower than the
fastest. Asked with each of 20 SLOs, from the lowest p99 to three times as much: how often the answer is "Use", "Perhaps
use" or nothing, and in how many of each of the first two the choice truly misses the SLO.

A fleet takes about eight minutes on two cores. With --out DIR, what was simulated is not simulated again. No answer is
classified, so accuracy decides nothing.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from collagebench.config import Config, SchemeConfig
from collagebench.report.summary import summarise
from collagebench.results.reader import Run, load
from collagebench.study.candidates import NONE, candidates
from collagebench.study.judged import candidate_of
from collagebench.study.ranking import ABOUT, ranked
from collagebench.study.wishes import Candidate, Wishes, status

FLEETS = {
    "single slow tasks": "--utilisation 0.4",
    "a heavy tail": "--utilisation 0.4 --stragglers pareto",
    "slow periods": "--utilisation 0.4 --stragglers markov",
    "lost replies": "--utilisation 0.4 --stragglers erasure",
    "one slow machine": "--utilisation 0.4 --stragglers collage-machines",
    "busy": "--utilisation 0.7",
}
SLOS, HIGHEST = 20, 3.0
"""How many SLOs are asked about, and the highest, as a multiple of the lowest p99."""


def simulated(options: str, asked: argparse.Namespace, directory: Path) -> dict[SchemeConfig, Run]:
    """Simulate all candidates on a fleet; return the records of each, with those of no redundancy."""
    size = ["--runs", str(asked.runs), "--requests", str(asked.requests), "--seed", str(asked.seed)]
    free = ["--accuracy", "none", "--accuracy-loss", "1", "--compute-time", "0.0005"]
    command = [sys.executable, "-m", "collagebench", "recommend", *options.split(), *size, *free]
    done = subprocess.run([*command, "--out", str(directory)], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
    runs = [load(path) for path in sorted(directory.iterdir()) if path.is_dir()]
    of = {variant: run for run in runs for variant in run.variants}
    return {one: of[one.variant] for one in candidates(Config().workers) if one.variant in of}


def judged(records: dict[SchemeConfig, Run], runs: Sequence[int]) -> list[Candidate]:
    """Return the candidates as `recommend` judges them if only these runs were simulated."""
    return [candidate_of(one, [_summary(of, runs)], Wishes(loss=1.0)) for one, of in records.items()]


def _summary(run: Run, runs: Sequence[int]) -> Any:
    tables = run.requests, run.tasks, run.cells
    requests, tasks, cells = (table.where(np.isin(table["run"], np.array(runs))) for table in tables)
    return summarise([replace(run, requests=requests, tasks=tasks, cells=cells)])


def lowest_of(truth: dict[str, Candidate]) -> float:
    """Return the lowest true p99, in seconds, of the candidates that bear the load."""
    return min(one.worst.latency for one in truth.values() if one.worst.unsteady is None)


def without_slo(truth: dict[str, Candidate], drawn: Sequence[Sequence[Candidate]]) -> str:
    """Return how far the choices are from the best, as text."""
    choices = [truth[ranked(some, Wishes(loss=1.0))[0].variant] for some in drawn]
    lowest = lowest_of(truth)
    steady = [one for one in truth.values() if one.worst.unsteady is None]
    cheapest = min(one.cost for one in steady if one.worst.latency <= lowest * (1 + ABOUT["latency"]))
    ratios = np.array([one.worst.latency for one in choices]) / lowest
    often = ", ".join(f"{name} ({count})" for name, count in Counter(one.variant for one in choices).most_common(3))
    return (
        f"p99 / lowest: mean {ratios.mean():.3f}, 90 % up to {np.quantile(ratios, 0.9):.3f}, worst {ratios.max():.3f}; "
        f"work {np.mean([one.cost for one in choices]):.2f}, needed {cheapest:.2f}; {often}"
    )


def with_slos(truth: dict[str, Candidate], drawn: Sequence[Sequence[Candidate]]) -> str:
    """Return how often the choices miss the SLO that they were chosen for, as text."""
    lowest = lowest_of(truth)
    counts: Counter[tuple[str, bool]] = Counter()
    for slo in np.geomspace(lowest, HIGHEST * lowest, SLOS):
        for said, choice in _said(Wishes(slo=float(slo), loss=1.0), drawn):
            counts[said, choice is not None and truth[choice.variant].worst.latency > slo] += 1
    use, perhaps = ((counts[said, True], counts[said, True] + counts[said, False]) for said in ("meets", "perhaps"))
    return (
        f"Use {use[1]}, of which {use[0]} miss the SLO ({100 * use[0] / max(1, use[1]):.1f} %); perhaps {perhaps[1]}, "
        f"of which {perhaps[0]} do ({100 * perhaps[0] / max(1, perhaps[1]):.1f} %); nothing {counts['nothing', False]}"
    )


def _said(wishes: Wishes, drawn: Sequence[Sequence[Candidate]]) -> Iterator[tuple[str, Candidate | None]]:
    for some in drawn:
        choice = next(iter(ranked(some, wishes)), None)
        yield (status(choice, wishes), choice) if choice else ("nothing", None)


def main() -> None:
    """Print two lines for each fleet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--of", type=int, default=10)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", choices=list(FLEETS), action="append")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    out = asked.out or Path(tempfile.mkdtemp(prefix="choices-"))
    random_ = random.Random(asked.seed)
    for name in asked.only or FLEETS:
        records = simulated(FLEETS[name], asked, out / name.replace(" ", "-"))
        truth = {one.variant: one for one in judged(records, range(asked.runs))}
        drawn = [judged(records, random_.sample(range(asked.runs), asked.of)) for _ in range(asked.draws)]
        plain, best = truth[NONE.variant].worst.latency, lowest_of(truth)
        print(f"{name}: {FLEETS[name]}: p99 {1e3 * plain:.4g} ms without redundancy, at best {1e3 * best:.4g}")
        print(f"  without an SLO: {without_slo(truth, drawn)}")
        print(f"  {SLOS} SLOs: {with_slos(truth, drawn)}", flush=True)


if __name__ == "__main__":
    main()
