"""Five fleets, five answers: whether what `collagebench recommend` says is true on real workers.

    python benchmarks/recommendations.py [--runs 10] [--requests 500] [--seed 0] [--only NAME] [--out DIRECTORY]
        [--simulate]

Each question is asked with `--validate`: the choice, the runner-up and no redundancy are run live on as many workers of
this machine, at the load in question. An answer is confirmed if the live run is valid, the choice met all requirements
in it, and the runner-up is not better by more than noise. A question takes about two minutes on an otherwise idle
machine. With --simulate there is no live run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

QUESTIONS = {
    "calm": "--stragglers lognormal --median 0.15 --sigma 0.3 --utilisation 0.4 --slo 120",
    "rarely slow, little to spend": "--workers 17 --utilisation 0.4 --slo 64 --budget 0.25",
    "lasting slowness": "--stragglers markov --slow-share 0.05 --persistence 2 --utilisation 0.3 --slo 80 "
    "--accuracy-loss 0.003",
    "one slow machine, mostly idle": "--stragglers collage-machines --utilisation 0.25 --slo 56 --accuracy-loss 0.0005",
    "lost replies": "--stragglers erasure --base 0.3 --drop-share 0.02 --utilisation 0.4 --slo 88 --deadline 1",
}
"""The fleet and the requirements of each question; the answers differ, also with other seeds."""


def ask(question: str, directory: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Ask a question; return the answer."""
    size = ["--runs", str(asked.runs), "--requests", str(asked.requests), "--seed", str(asked.seed)]
    command = [sys.executable, "-m", "collagebench", "recommend", *question.split(), *size]
    command += [] if asked.simulate else ["--validate"]
    command += ["--format", "json", "--out", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 3, 4):
        sys.exit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Ask the questions and print the answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--only", choices=list(QUESTIONS), action="append")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    out = asked.out or Path(tempfile.mkdtemp(prefix="recommendations-"))
    confirmed, choices = 0, set()
    for name in asked.only or QUESTIONS:
        answer = ask(QUESTIONS[name], out / name.replace(",", "").replace(" ", "-"), asked)
        choices.add(answer["choice"])
        slo = answer["asked"]["wishes"]["slo"]
        print(f"{name}: {QUESTIONS[name]}", flush=True)
        print(f"  {answer['explanation'][0]}")
        for row in answer["validation"]["rows"] if answer["validation"] else []:
            ratio = row["live_s"] / row["simulated_s"] if row["live_s"] and row["simulated_s"] else float("nan")
            figures = [f"{1e3 * value:.1f}" if value else "-" for value in (row["simulated_s"], row["live_s"])]
            print(
                f"  {row['variant']:22s} p99 simulated {figures[0]:>6s}, live {figures[1]:>6s} ms (x{ratio:.2f}), SLO "
                f"{1e3 * slo:.0f}; {100 * (row['accuracy'] or 0):.1f} % right, {row['work']:.2f}x the work"
            )
        if answer["validation"]:
            print(f"  {answer['validation']['said']}", *answer["validation"]["reasons"], sep="\n  ")
            confirmed += answer["validation"]["confirmed"]
        print(flush=True)
    said = "" if asked.simulate else f", {confirmed} confirmed"
    print(f"{len(choices)} different answers to {len(asked.only or QUESTIONS)} questions{said}; records in {out}")


if __name__ == "__main__":
    main()
