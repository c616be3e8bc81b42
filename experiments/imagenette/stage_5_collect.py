"""Every answer of every run in one JSON file that is small enough to commit: results/SCALE.json."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from design import ARCH, arguments, runs
from stage_4_evaluate import ANSWERS

LIBRARIES = ("torch", "torchvision", "timm", "imagecodecs", "pillow", "av", "numpy")
RESULTS = Path(__file__).with_name("results")


def answers(folder: Path) -> tuple[dict, list[str]]:
    """``{column: {top1, loss, right}}`` of one model, and the keys; ``right`` has one bit a picture, as hex."""
    found = json.loads((folder / "results.json").read_text())["results"][0]
    samples = pq.read_table(folder / found["samples"])
    columns = {
        name: {
            "top1": round(score["top1"], 6),
            "loss": round(score["loss"], 5),
            "right": np.packbits(samples[name].to_numpy(zero_copy_only=False)).tobytes().hex(),
        }
        for name, score in found["columns"].items()
    }
    return columns, samples["key"].to_pylist()


def collect(work: Path, name: str) -> tuple[dict | None, list[str]]:
    """One model's answers of each kind it was evaluated for; None when it was not evaluated."""
    folders = {kind: work / "results" / kind / name for kind in ANSWERS}
    found = {kind: answers(folder) for kind, folder in folders.items() if (folder / "results.json").exists()}
    if "present" not in found:
        return None, []
    return {kind: columns for kind, (columns, _) in found.items()}, found["present"][1]


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    work, name, scale = arguments(__doc__)
    rates = json.loads((work / "tuned.json").read_text())
    pretrained, keys = collect(work, "pretrained")
    found = []
    for run in runs(scale):
        answered, theirs = collect(work, run.name)
        if answered is None:
            continue
        if theirs != keys:
            sys.exit(f"{run.name} was evaluated on other pictures than pretrained; delete {work / 'results'}")
        found.append({**asdict(run), "lr": rates.get(run.method), "answers": answered})
    contents = {
        "scale": name,
        "arch": ARCH,
        "design": asdict(scale),
        "machine": {"processor": processor(), "cores": len(os.sched_getaffinity(0))},
        "versions": {library: version(library) for library in LIBRARIES},
        "pictures": len(keys),
        "keys_sha256": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        "pretrained": pretrained,
        "runs": found,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(contents, indent=1) + "\n")
    print(f"{RESULTS / f'{name}.json'}: {len(found)} of {len(runs(scale))} runs")
