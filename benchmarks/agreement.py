"""Whether simulation agrees with real workers: bundled profiles, run on this machine and simulated, scheme by scheme.

    python benchmarks/agreement.py [--runs 5] [--seed 0] [--out DIRECTORY] [--profile NAME ...]

The profiles are the paper's, in both readings of its log and five times as fast, and one with slow periods that last.
Arrivals and slowdowns are the same on both sides, keyed by the seed. A live request also travels, its client and its
workers share this machine, and both change which workers later requests get. The table has p50 and p99 of both sides in
ms, their ratios, half the 95 % interval of the live p99 as a share of it, and whether the live run is valid. It takes
about twelve minutes on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

FASTER = ["--time-scale", "0.2"]
PROFILES = {"paper": FASTER, "machines-slow-single": FASTER, "lasting-markov": []}
"""The profiles, each with the options that override it."""


def schemes(verb: str, profile: str, directory: Path, asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run or simulate a profile; return the report's entry for each variant."""
    command = [sys.executable, "-m", "collagebench", verb, "--profile", profile, *PROFILES.get(profile, [])]
    command += ["--runs", str(asked.runs), "--seed", str(asked.seed), "--out", str(directory), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 4):  # 4: a run that says it is not valid, which is printed
        sys.exit(done.stderr)
    said = json.loads(done.stdout)
    return {scheme["variant"]: {**scheme, "valid": said["valid"]} for scheme in said["schemes"]}


def main() -> None:
    """Run, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--profile", action="append", help=f"[{', '.join(PROFILES)}]")
    asked = parser.parse_args()
    out = asked.out or Path(tempfile.mkdtemp(prefix="agreement-"))
    worst = 1.0
    for profile in asked.profile or PROFILES:
        live, simulated = (schemes(verb, profile, out / f"{profile}-{verb}", asked) for verb in ("run", "simulate"))
        valid = all(scheme["valid"] for scheme in live.values())
        print(f"\n{profile} {' '.join(PROFILES.get(profile, []))}: {'VALID' if valid else 'INVALID'}")
        titles = f"{'simulated':>11}{'ratio':>7}"
        print(f"{'':16}{'p50 live':>9}{titles}{'p99 live':>11}{'±':>6}{titles}")
        for name, found in live.items():
            shown = ""
            for quantile, width in (("p50", 9), ("p99", 11)):
                real, virtual = found["latency_s"][quantile], simulated[name]["latency_s"][quantile]
                if real is None or virtual is None:
                    sys.exit(f"{name}: {quantile} is not known from so few requests; raise --runs")
                shown += f"{1e3 * real:{width}.1f}"
                if quantile == "p99":
                    low, high = found["ci95_s"]["p99"]
                    shown += f"{100 * (high - low) / 2 / real:4.0f} %"
                    worst = max(worst, real / virtual, virtual / real)
                shown += f"{1e3 * virtual:11.1f}{real / virtual:7.2f}"
            print(f"{name:16}{shown}", flush=True)
    print(f"\nfurthest apart at p99: {worst:.2f}x")


if __name__ == "__main__":
    main()
