"""The design: what is run at each scale. README.md gives the reasons."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")

ARCH = "lite0"
START = ["--arch", ARCH, "--weights", "imagenet"]
METHODS = ("finetune", "expert", "stability", "mixture")  #: whose learning rate is tuned
ALPHA = 0.01  #: the paper's; its weight against a mean over samples is 384 times this
TUNING_SEED = 100  #: no seed of the comparison


@dataclass(frozen=True)
class Scale:
    """One size of the experiment. Pictures are per class; a run makes ``epochs`` passes."""

    crop: str
    train: int
    tune: int  #: pictures of the training split kept for tuning the learning rates
    test: int | None  #: None: all of the validation split
    columns: tuple[str, ...]
    tuning_column: str
    rates: tuple[float, ...]  #: learning rates tried per method
    epochs: int
    batch: int
    seeds: int  #: of the primary comparison
    alphas: tuple[float, ...]  #: factors on the paper's alpha, beside 1
    alpha_seeds: int
    options: tuple[str, ...] = ()  #: of every training


SCALES = {
    "tiny": Scale(
        crop="center:128", train=20, tune=10, test=20, columns=("jpeg-5",), tuning_column="jpeg-5",
        rates=(1e-4, 3e-4), epochs=1, batch=20, seeds=2, alphas=(0.0,), alpha_seeds=1, options=("--workers", "1"),
    ),
    "cpu": Scale(
        crop="center:128", train=400, tune=100, test=None, columns=("jpeg-5", "j2k-200"), tuning_column="jpeg-5",
        rates=(3e-5, 1e-4, 3e-4), epochs=1, batch=32, seeds=5, alphas=(0.0, 0.1, 10.0), alpha_seeds=3,
        options=("--workers", "1"),
    ),
    "gpu": Scale(
        crop="none", train=800, tune=100, test=None, tuning_column="jpeg-5",
        columns=("jpeg-10", "jpeg-5", "j2k-200", "j2k-400", "bpg-46", "bpg-51"),
        rates=(1e-5, 3e-5, 1e-4, 3e-4), epochs=5, batch=64, seeds=8, alphas=(0.0, 0.1, 10.0), alpha_seeds=5,
        options=("--workers", "12"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One training of the comparison."""

    method: str  #: command of ``train``
    column: str  #: of the samples; of a mixture: all columns, joined by "+"
    seed: int
    factor: float = 1.0  #: on alpha; experts only

    @property
    def name(self) -> str:
        label = self.method if self.factor == 1 else f"{self.method}-alpha-{self.factor:g}"
        return f"{label}_{self.column}_{self.seed}"


def trained_on(method: str, scale: Scale, column: str) -> str:
    """The column that a run of a method is trained on to be judged at ``column``."""
    return {"stability": "clean", "mixture": "+".join(scale.columns)}.get(method, column)


def runs(scale: Scale) -> list[Run]:
    """Every training of the comparison, the most important first, so that an interruption costs the least."""
    found = [
        Run(method, column, seed)
        for seed in range(scale.seeds)
        for column in scale.columns
        for method in ("finetune", "expert")
    ]
    found += [
        Run(method, trained_on(method, scale, ""), seed)
        for seed in range(scale.alpha_seeds)
        for method in ("stability", "mixture")
    ]
    found += [Run("batchnorm", column, 0) for column in scale.columns]
    return found + [
        Run("expert", scale.tuning_column, seed, factor)
        for seed in range(scale.alpha_seeds)
        for factor in scale.alphas
    ]


def arguments(description: str) -> tuple[Path, str, Scale]:
    """Parse the arguments that every stage takes: WORK and the scale."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("work", type=Path, help="folder for datasets and runs")
    parser.add_argument("--scale", choices=SCALES, default="tiny")
    given = parser.parse_args()
    return given.work / given.scale, given.scale, SCALES[given.scale]


def call(*command: object) -> None:
    """Run ``python -m COMMAND``; its output is passed through, and its failure ends the stage."""
    print("$", *command, flush=True)
    subprocess.run([sys.executable, "-m", *map(str, command)], check=True)


def each(function: Callable[[T], None], items: Iterable[T]) -> None:
    """Call ``function`` with every item: on a GPU one after the other, else one per core with one thread each.

    Two trainings with one thread each are faster than one with two threads after another.
    """
    jobs = 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0))
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # inherited by what ``call`` runs
    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(function, item) for item in items]:
            done.result()


def train(
    work: Path, scale: Scale, method: str, column: str, seed: int, rate: float | None, out: Path, *more: object
) -> None:
    """One training, skipped when it is finished and continued when it was interrupted."""
    if (out / "finished").exists():
        return
    if rate is not None:
        more = ("--lr", rate, *more)
    columns = ("--columns", column.replace("+", ",")) if method == "mixture" else ("--column", column)
    call(
        "train", method, work / "data/train", "--val", work / "data/tune", "--select-on", "validation", *START,
        *columns, "--epochs", scale.epochs, "--batch", scale.batch,
        "--seed", seed, "--test-columns", "none", "--resume", "--out", out, *scale.options, *more,
    )  # fmt: skip
