"""Make the compact table (`collage-trace.json`) of facts about the authors' latency log from the log itself.

    python benchmarks/latency_table.py RAW.npy OUT.json

RAW.npy is the file from which the workers of the public repository krishnagirinarra/collage-inference draw their
slowdowns (`latency_distribution.npy` in its code): 137,594 latencies, float64 seconds. Their order shows 50 logs of
2,752 values, one after the other, one for each machine; the last has 6 values fewer.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from collagebench.stragglers.quantiles import PROBABILITIES

LOG_LENGTH = 2752
DECIMALS = 5
SOURCE = "https://github.com/krishnagirinarra/collage-inference"


def facts(latencies: NDArray[np.float64]) -> dict[str, object]:
    """Return the table: each machine's number of values and their quantiles, and figures of all values together."""
    logs = np.split(latencies, range(LOG_LENGTH, len(latencies), LOG_LENGTH))
    pooled = {f"p{100 * p:g}": _quantile(latencies, p) for p in (0.5, 0.9, 0.95, 0.99, 0.999)}
    return {
        "schema": 1,
        "source": SOURCE,
        "about": (
            "The latencies, in seconds, from which the workers of that public repository draw their slowdowns "
            f"(latency_distribution.npy): {len(logs)} logs of {LOG_LENGTH} values laid end to end, one a machine. Each "
            "line of `machines` holds the quantiles of one log at `probabilities`."
        ),
        "values": len(latencies),
        "pooled": {
            "min": round(float(latencies.min()), DECIMALS),
            "mean": round(float(latencies.mean()), DECIMALS),
            **pooled,
            "max": round(float(latencies.max()), DECIMALS),
            "share_above_0.5": round(float((latencies > 0.5).mean()), DECIMALS),
        },
        "counts": [len(log) for log in logs],
        "probabilities": list(PROBABILITIES),
        "machines": [np.quantile(log, PROBABILITIES).round(DECIMALS).tolist() for log in logs],
    }


def _quantile(latencies: NDArray[np.float64], p: float) -> float:
    return round(float(np.quantile(latencies, p, method="inverted_cdf")), DECIMALS)


def write(table: dict[str, object], out: Path) -> None:
    """Write the table as JSON, with every list of numbers on a line of its own, so that diffs are readable."""
    text = json.dumps(table, indent=1)
    text = re.sub(r"\[[-\d.,\s]+\]", lambda numbers: re.sub(r"\s+", "", numbers.group()), text)
    out.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Read the log and write the table that the command line names."""
    parser = argparse.ArgumentParser(description="Make the compact table of facts about the authors' latency log.")
    parser.add_argument("raw", type=Path, help="the log: a NumPy file of seconds")
    parser.add_argument("out", type=Path, help="the table to write, as JSON")
    arguments = parser.parse_args()
    try:
        write(facts(np.load(arguments.raw)), arguments.out)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
