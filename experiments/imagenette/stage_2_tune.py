"""A learning rate for every method: the best top-1 on the tuning pictures, with the same budget for each."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path

from design import METHODS, TUNING_SEED, Scale, arguments, call, each, train, trained_on


def attempt(work: Path, scale: Scale, method: str, rate: float) -> Path:
    """Train a method at a learning rate and judge it on the tuning pictures; returns the results file."""
    out = work / "tuning" / f"{method}_{rate:g}"
    train(work, scale, method, trained_on(method, scale, scale.tuning_column), TUNING_SEED, rate, out)
    if not (out / "results.json").exists():
        call(
            "train", "evaluate", work / "data/tune", "--checkpoint", out / "last.safetensors",
            "--columns", scale.tuning_column, "--present-classes", "--out", out / "results.json",
        )  # fmt: skip
    return out / "results.json"


if __name__ == "__main__":
    work, _, scale = arguments(__doc__)
    todo = list(itertools.product(METHODS, scale.rates))
    each(lambda run: attempt(work, scale, *run), todo)
    tried = defaultdict(dict)
    for method, rate in todo:
        found = json.loads(attempt(work, scale, method, rate).read_text())["results"][0]["columns"]
        tried[method][rate] = found[scale.tuning_column]
    chosen = {}
    for method, found in tried.items():
        chosen[method] = max(found, key=lambda rate: (found[rate]["top1"], -found[rate]["loss"]))
        for rate, score in found.items():
            mark = " *" * (rate == chosen[method])
            print(f"{method} lr {rate:g}: top-1 {score['top1']:.2%}, loss {score['loss']:.4f}{mark}")
    (work / "tuned.json").write_text(json.dumps(chosen, indent=2) + "\n")
