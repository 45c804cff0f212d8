"""Accuracy of answers decoded from coded images, and how much NeRCC should smooth.

Groups of k images are coded into k + s, which a coded model classifies. For every set of s shares that may be lost, the
answers are decoded from the other k. ApproxIFER has one figure, NeRCC one for each pair of smoothing parameters. Tune
on images that accuracy is not reported on: use `--split train` of a dataset, then report on `test`.

    python benchmarks/coded_accuracy.py --data DIR [--split train] [--models DIR] [--k 8] [--s 1] [--groups 250]
        [--smooth-encode 0,3e-5,1e-4 --smooth-decode 0,1e-4,4e-4]
"""

from __future__ import annotations

import argparse
from itertools import combinations, product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench import zoo
from collagebench.engine.evaluation import session
from collagebench.schemes import make
from collagebench.schemes.coded import SMOOTH_DECODE, SMOOTH_ENCODE
from collagebench.schemes.protocol import Request, Scheme, Task
from collagebench.workload.dataset import open_dataset

BATCH = 64


def accuracy(codec: Scheme, run: Any, groups: NDArray[np.uint8], labels: NDArray[np.int64], shares: int) -> float:
    """Return the share of right answers over groups, uint8 [n, k, height, width, 3], and all sets of lost shares."""
    n, k = labels.shape
    requests = tuple(Request(i, i, 0.0) for i in range(k))
    tasks = [Task(share, "coded", requests, 0, share) for share in range(shares)]
    shape = groups.shape[2:]
    inputs = np.concatenate([codec.encode(task, list(group), shape) for group in groups for task in tasks])
    outputs = classify(run, inputs).reshape(n, shares, 1, -1)
    right = 0
    for group, truth in zip(outputs, labels, strict=True):
        for kept in combinations(range(shares), k):
            replies = [(tasks[share], group[share]) for share in kept]
            answers = [int(codec.decode(request, replies).argmax()) for request in requests]
            right += int((answers == truth).sum())
    return float(right / (n * k * comb(shares, k)))


def classify(run: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the model's outputs, [n, classes]."""
    batches = range(0, len(inputs), BATCH)
    return np.concatenate([run.run(["logits"], {"image": inputs[start : start + BATCH]})[0] for start in batches])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a directory with one folder of images per class")
    parser.add_argument("--split", default="test", help="train or test, where the directory has both [test]")
    parser.add_argument("--models", type=Path, default=zoo.SHIPPED)
    parser.add_argument("--dataset", default="cifar10", help="the dataset that the model was trained on")
    for name, value in (("k", 8), ("s", 1), ("groups", 250), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--smooth-encode", default=str(SMOOTH_ENCODE))
    parser.add_argument("--smooth-decode", default=str(SMOOTH_DECODE))
    chosen = parser.parse_args()

    model = zoo.find([model for model in zoo.load(chosen.models) if model.dataset == chosen.dataset], "coded")
    run = session(model)
    dataset = open_dataset("imagefolder", chosen.data, chosen.split, size=model.image[:2])
    rng = np.random.default_rng(chosen.seed)
    picked = rng.permutation(len(dataset))[: chosen.groups * chosen.k].reshape(-1, chosen.k)
    groups = dataset.load(picked.ravel()).reshape(*picked.shape, *model.image)
    labels = np.asarray(dataset.labels)[picked]
    singly = classify(run, groups.reshape(-1, *model.image).astype(np.float32)).argmax(axis=1)
    print(f"accuracy of reconstructed answers, k = {chosen.k}, s = {chosen.s}")
    print(f"{picked.size} images of {chosen.data} ({chosen.split})")
    print(f"{'not coded':30} {(singly == labels.ravel()).mean():.4f}")

    options = {"coded_k": chosen.k, "coded_s": chosen.s}
    shares = chosen.k + chosen.s
    print(f"{'approxifer':30} {accuracy(make('approxifer', options), run, groups, labels, shares):.4f}", flush=True)
    texts = product(chosen.smooth_encode.split(","), chosen.smooth_decode.split(","))
    for encode, decode in [(float(encode), float(decode)) for encode, decode in texts]:
        codec = make("nercc", {**options, "smooth_encode": encode, "smooth_decode": decode})
        row = f"nercc, smooth {encode:g} and {decode:g}"
        print(f"{row:30} {accuracy(codec, run, groups, labels, shares):.4f}", flush=True)


if __name__ == "__main__":
    main()
