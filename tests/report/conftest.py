"""A dataset with rate curves, results files of the training room's form, and a report built from both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from report import contents, published
from shards.dataset import Dataset
from shards.results import find

#: j2k-1 is lossless: its PSNR is infinite. jpeg-10:444 is a series of one point.
DISTORTIONS = (
    "jpeg-5,jpeg-10,jpeg-30,jpeg-75,webp-5,webp-20,webp-50,webp-80,j2k-1,j2k-50,jpeg-10:444,noise-20,blur-1,"
    "noise-20+jpeg-10,noise-20+jpeg-50"
)
JPEGS = ("jpeg-5", "jpeg-10", "jpeg-30", "jpeg-75")


@pytest.fixture(scope="session")
def curves(tree, run, once) -> Path:
    def make(folder: Path) -> None:
        options = ["--distortions", DISTORTIONS, "--crop", "center:96", "--workers", 2]
        done = run("distort", "run", tree, folder / "curves", *options)
        assert done.returncode == 0, done.stderr

    return once("curves", make) / "curves"


@pytest.fixture(scope="session")
def write_results(curves) -> Callable[..., Path]:
    """Write results files; ``models`` are (method, trained_on, seed, {column: fraction right}[, settings])."""
    dataset = Dataset(curves)
    clean = dataset.table("clean", ["key", "label"])

    def write(folder: Path, models: list[tuple], samples: bool = True, **changed) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for i, (method, trained_on, seed, scores, *settings) in enumerate(models):
            columns, right = {}, {}
            for name, score in scores.items():
                hits = round(score * len(clean))
                order = np.random.default_rng(seed or 0).permutation(len(clean))
                right[name] = pa.array(order < hits)
                top1 = hits / len(clean)
                columns[name] = {"n": len(clean), "top1": top1, "top1_interval": [top1 * 0.9, min(top1 * 1.1, 1)]}
                columns[name] |= {"top5": min(1, top1 * 1.2), "top5_interval": [0, 1], "loss": 1.0}
            if samples:
                table = pa.table({"key": clean["key"], "label": clean["label"], **right})
                pq.write_table(table, folder / f"results.{i}.parquet")
            weights = hashlib.sha256(f"{method} {trained_on} {seed} {settings}".encode()).hexdigest()
            model = {"arch": "mnasnet1_0", "method": method, "trained_on": trained_on, "seed": seed}
            model |= {"weights_sha256": weights, "protocol": None if method == "pretrained" else "refcode"}
            model |= {"settings": settings[0] if settings else {}}
            found.append(
                {"model": model, "columns": columns, "samples": f"results.{i}.parquet" if samples else None}
            )
        where = {"path": str(curves), "plan": dataset.plan.hash, "samples": len(clean)}
        text = {"schema": 2, "dataset": where, "results": found} | changed
        (folder / "results.json").write_text(json.dumps(text))
        return folder

    return write


@pytest.fixture(scope="session")
def models() -> list[tuple]:
    """A pre-trained model everywhere; fine-tuned models and experts on four JPEG qualities, tested on all four."""
    pretrained = dict(zip(("clean", *JPEGS, "noise-20"), (0.9, 0.2, 0.4, 0.6, 0.8, 0.5), strict=True))
    made = [("pretrained", None, None, pretrained)]
    for method, bonus in (("finetune", 0.1), ("expert", 0.2)):
        for trained_on in JPEGS:
            scores = {name: pretrained[name] + bonus * (name == trained_on) for name in JPEGS}
            made.append((method, trained_on, 0, scores))
    return made


@pytest.fixture(scope="session")
def runs(write_results, models, once) -> Path:
    return once("runs", lambda folder: write_results(folder / "all", models)) / "all"


@pytest.fixture(scope="session")
def collected(curves, runs) -> contents.Contents:
    return contents.collect([Dataset(curves)], find([runs]))


@pytest.fixture(scope="session")
def paper() -> contents.Contents:
    """The published Table I and nothing else."""
    return contents.collect([], [], [published.load("marie2022")])


@pytest.fixture(scope="session")
def built(curves, runs, run, once) -> Path:
    def make(folder: Path) -> None:
        options = ["--results", runs, "--published", "marie2022", "--out", folder / "out"]
        done = run("report", "build", curves, *options)
        assert done.returncode == 0, done.stderr

    return once("built", make) / "out"
