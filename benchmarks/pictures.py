"""Shared by the benchmarks: real crops, and ratios of times measured side by side."""

from __future__ import annotations

import json
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from distort import crops, pictures
from distort.sources import list_pictures


def sample_of(folder: str, count: int) -> list[Path]:
    """A random sample of the pictures in a folder."""
    listing = list_pictures(folder)
    total = len(listing.pictures)
    chosen = random.Random(0).sample(range(total), min(count, total))
    return [Path(listing.root, listing.pictures[i].source) for i in chosen]


def crops_of(folder: str, count: int) -> list[np.ndarray]:
    """Read-only 224x224 crops of a random sample of the pictures in a folder."""
    crop = crops.parse("paper")
    images = (pictures.load(path.read_bytes()) for path in sample_of(folder, count))
    return [crop.apply(image, 0, "")[0][1] for image in images]


def enlarge(folder: str, count: int, target: Path, keep: bool = False) -> None:
    """Write a random sample of the pictures in a folder to ``target``/all, as large as ImageNet's: 500x375 pixels.

    ``keep`` copies them as they are.
    """
    (target / "all").mkdir(parents=True)
    for i, path in enumerate(sample_of(folder, count)):
        out = target / "all" / f"{i:05d}.jpg"
        if keep:
            out.write_bytes(path.read_bytes())
            continue
        with Image.open(path) as image:
            image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC).save(out, quality=96)


def side_by_side(
    rounds: int, clock: Callable[[], float] = time.process_time, **candidates: Callable[[], object]
) -> dict[str, float]:
    """Median seconds of each candidate, all run in turn in every round, so that noise hits them alike.

    CPU seconds of this process, which other programs disturb little; for candidates that start processes of their
    own give ``time.perf_counter``.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, numpy {np.__version__}"


def record(name: str, values: Sequence[float], target: float | None = None, higher: bool = True) -> None:
    """Pass a measurement to ``make bench``, which collects them in docs/performance.md; else do nothing.

    ``values`` are ratios, one per round; ``higher`` says that a higher one is better.
    """
    if file := os.environ.get("BENCH_RECORDS"):
        made = {"name": name, "value": float(np.median(values)), "low": min(values), "high": max(values)}
        with open(file, "a", encoding="utf-8") as out:
            out.write(json.dumps(made | {"target": target, "higher": higher}) + "\n")
