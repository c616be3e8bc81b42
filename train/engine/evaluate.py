"""Accuracy of classifiers on a dataset's columns: all models and all columns in one pass, every sample once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F

from shards.console import table
from shards.dataset import Dataset
from shards.results import Results
from train.engine.checks import require_classes, require_enough, require_logits, warn_of_chance
from train.engine.distributed import World
from train.engine.progress import Progress, Waiting
from train.feed import slices
from train.feed.data import Source, Stream
from train.feed.reading import Survey, survey
from train.feed.workers import batches
from train.networks import models
from train.networks.network import Network
from train.networks.precision import exact
from train.networks.weights import weights_sha256
from train.results import column_result

TOP = 5


@dataclass
class Candidate:
    """A classifier to evaluate, and its name in the results."""

    network: Any  #: a Network, or a module that answers like one
    model: dict
    foreign: str | None = None  #: the weights, when their classes and the order of those are not known
    file: str | None = None  #: the checkpoint

    @classmethod
    def pretrained(cls, arch: str, weights: str, dataset: Dataset, seed: int = 0) -> Candidate:
        """A pre-trained network; with the weights ``none`` it is listed as untrained."""
        torch.manual_seed(seed)
        loaded = models.load(arch, weights, len(dataset.plan.classes or ()))
        require_classes(weights, loaded.meta, dataset.plan.classes or ())
        fresh = weights == "none"
        meta = {
            "arch": arch,
            "method": "untrained" if fresh else "pretrained",
            "title": "Untrained" if fresh else "Pre-trained",
            "counts_everywhere": True,
            "seed": seed if fresh else None,
        }
        foreign = not fresh and "classes_sha256" not in loaded.meta
        return cls(loaded.network, cls._describe(loaded.network, meta), weights if foreign else None)

    @classmethod
    def of_file(cls, file: str, dataset: Dataset, named: str | None = None) -> Candidate:
        """A checkpoint of ``train``. Raises ModelError when its metadata name no network.

        ``named`` is the user's ``--arch``, without which some networks are not built.
        """
        loaded = models.load_checkpoint(file, len(dataset.plan.classes or ()), named)
        require_classes(file, loaded.meta, dataset.plan.classes or ())
        return cls(loaded.network, cls._describe(loaded.network, loaded.meta), file=file)

    @property
    def name(self) -> str:
        """The checkpoint, or the network and its method."""
        return self.file or " ".join(filter(None, map(self.model.get, ("arch", "method", "trained_on"))))

    @staticmethod
    def _describe(network: Network, meta: dict) -> dict:
        names = ("arch", "method", "trained_on", "seed", "protocol", "title", "counts_everywhere")
        said = {name: meta.get(name) for name in names}
        return {**said, "settings": meta.get("settings", {}), "weights_sha256": weights_sha256(network.net)}


@dataclass
class Predictions:
    """Every model's predictions on every sample, in the order of the dataset."""

    keys: list[str]
    labels: np.ndarray  #: int64 (n,)
    loss: np.ndarray  #: float32 (models, columns, n): cross-entropy
    rank: (
        np.ndarray
    )  #: int64 (models, columns, n): number of other classes that scored at least as high as the right one
    predicted: np.ndarray  #: int64 (models, columns, n): the class that scored highest
    confidence: np.ndarray  #: float32 (models, columns, n): its probability


def evaluate(
    dataset: Dataset, columns: Sequence[str], candidates: Sequence[Candidate], world: World, *,
    batch: int = 64, workers: int = 2, cache: str | None = None, present: bool = False,
) -> tuple[dict, list[dict], list[pa.Table]] | None:  # fmt: skip
    """Dataset, results and per-sample tables for ``shards.results.write``; None except on rank 0.

    Networks compute in float32 without TF32, whatever the precision of their training.
    """
    found = survey(dataset, columns)
    absent = _absent(dataset, columns[0]) if present else []
    pool = slices.between(found.counts, 0, found.samples)
    require_enough(found.url, pool, world)
    for candidate in candidates:
        require_logits(candidate.network, dataset, columns[0])
    planned = slices.evaluation(pool, rank=world.rank, ranks=world.size, batch=batch)
    headers = any(candidate.network.needs_headers for candidate in candidates)
    stream = Stream(Source(found.url, tuple(columns), cache=cache, headers=headers), planned)
    parts = _predict(stream, candidates, columns, world, workers, found.samples, absent)
    made = _collect(parts, found, world, [candidate.name for candidate in candidates], columns)
    if made is None:
        return None
    described = {"path": found.url, "plan": found.plan, "samples": found.samples}
    results, samples = [], []
    for k, candidate in enumerate(candidates):
        top1, top5 = made.rank[k] < 1, made.rank[k] < TOP
        scored = zip(columns, made.loss[k], top1, top5, strict=True)
        by_column = {name: column_result(*score) for name, *score in scored}
        results.append({"model": candidate.model, "columns": by_column})
        if candidate.foreign:
            best = max(score["top1"] for score in by_column.values())
            warn_of_chance(candidate.foreign, best, found.samples, len(found.classes))
        samples.append(_samples(made, k, columns))
    return described, results, samples


def _samples(found: Predictions, model: int, columns: Sequence[str]) -> pa.Table:
    """The per-sample table of one model, as in docs/format.md."""
    table = {"key": pa.array(found.keys), "label": pa.array(found.labels)}
    for c, name in enumerate(columns):
        table[name] = pa.array(found.rank[model, c] < 1)
        table[f"{name}/predicted"] = pa.array(found.predicted[model, c].astype(np.int32))
        table[f"{name}/confidence"] = pa.array(found.confidence[model, c])
    return pa.table(table)


def _absent(dataset: Dataset, column: str) -> list[int]:
    """The classes without a sample in the dataset. Raises ValueError when it has samples of one class only."""
    there = set(dataset.table(column, ["label"])["label"].unique().to_pylist())
    if len(there) < 2:
        raise ValueError(
            f"{dataset.storage.url} has samples of one class only, so --present-classes leaves nothing to predict"
        )
    return sorted(set(range(len(dataset.plan.classes or ()))) - there)


@torch.no_grad()
def _predict(
    stream: Stream, candidates: Sequence[Candidate], columns: Sequence[str], world: World, workers: int,
    total: int, absent: list[int],
) -> list[tuple]:  # fmt: skip
    """Per batch of this rank: keys, labels, places, losses, ranks, predicted classes and their probabilities."""
    nets = [candidate.network.to(world.device).eval() for candidate in candidates]
    found = []
    with (
        Progress("evaluate", total, quiet=not world.first) as bar,
        batches(stream, workers, pin=world.device.type == "cuda") as items,
    ):
        feed = Waiting(items)
        for batch in feed:
            there = batch.to(world.device)
            with exact(world.device):
                logits = torch.stack([torch.stack([net.answer(there, name) for name in columns]) for net in nets])
            logits[..., absent] = -torch.inf  # never an answer
            labels = there.labels.expand(*logits.shape[:2], -1)
            loss = F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view(labels.shape)
            own = logits.gather(3, labels[..., None])
            # Ties count against the model: a network with constant output gets no sample right.
            rank = (logits >= own).sum(3) - 1
            confidence, predicted = logits.softmax(3).max(3)
            values = (values.cpu() for values in (loss, rank, predicted, confidence))
            found.append((batch.keys, batch.labels, batch.places, *values))
            bar.update(world.size * len(batch.keys), feed.seconds)
    return found


def _collect(
    parts: list[tuple], found: Survey, world: World, models: Sequence[str], columns: Sequence[str]
) -> Predictions | None:
    """All ranks' predictions in the dataset's order.

    Raises RuntimeError unless every sample was tested once, ValueError when an answer is not finite.
    """
    keys = [key for part in parts for key in part[0]]
    labels, places = (torch.cat([part[i] for part in parts]).numpy() for i in (1, 2))
    values = [torch.cat([part[i] for part in parts], 2).numpy() for i in range(3, 7)]
    gathered = world.gather((keys, labels, places, *values))
    if not gathered:
        return None
    keys = [key for part in gathered for key in part[0]]
    places = np.concatenate([part[2] for part in gathered])
    expected = [(shard, row) for shard, count in enumerate(found.counts) for row in range(count)]
    order = np.lexsort((places[:, 1], places[:, 0]))
    if not np.array_equal(places[order], np.array(expected)):
        raise RuntimeError(f"{found.url}: {len(places)} answers for {len(expected)} samples, not one for each")
    values = [np.concatenate([part[i] for part in gathered], 2) for i in range(3, 7)]
    if not np.isfinite(values[0]).all():
        model, column, i = np.argwhere(~np.isfinite(values[0]))[0]
        raise ValueError(
            f"{models[model]} has no finite answer for key '{keys[i]}' in column '{columns[column]}': "
            "its weights are damaged, or its training diverged (then lower --lr)"
        )
    return Predictions(
        [keys[i] for i in order],
        np.concatenate([part[1] for part in gathered])[order],
        *(part[:, :, order] for part in values),
    )


def show(measured: Results) -> None:
    """A table on stdout: one row per model and column."""
    rows = [
        [
            " ".join(filter(None, (result.model.arch, result.model.method, result.model.trained_on))),
            name,
            f"{column.n:,}",
            f"{column.top1:.2%}",
            "{:.2%} – {:.2%}".format(*(column.top1_interval or ())),
            f"{column.top5:.2%}",
            f"{column.loss:.4f}",
        ]
        for result in measured.results
        for name, column in result.columns.items()
    ]
    sys.stdout.write(table(["model", "column", "n", "top-1", "95 %", "top-5", "loss"], rows, left=(0, 1)) + "\n")
