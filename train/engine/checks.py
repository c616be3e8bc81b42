"""Checks that datasets, weights, ranks and batches fit together. Each error says what to do."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click
import torch

from shards.atomic import require_writable
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import dataset_around
from train.engine.distributed import World
from train.feed import slices
from train.feed.reading import Survey
from train.networks.models import KINDS, ModelError
from train.networks.weights import classes_sha256, first_line
from train.settings import Settings


def require_output(out: Path) -> None:
    """Raises ValueError when ``out`` is a url, cannot be written, or is inside the folder of a dataset."""
    require_writable(out)
    if folder := dataset_around(out.absolute()):
        raise ValueError(f"--out {out} would write into the dataset {folder}: choose a place outside it")


def require_results_file(out: Path) -> None:
    """Raises ValueError unless ``out`` is a new ``.json`` file, or a results file that may be replaced."""
    require_output(out)
    if out.suffix != ".json":
        raise ValueError(
            f"--out {out}: results are JSON, so its name must end in .json, as {out.with_suffix('.json')}"
        )
    try:
        there = json.loads(out.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        there = None
    if not (isinstance(there, dict) and {"schema", "results"} <= there.keys()):
        raise ValueError(f"--out {out} exists and is not a results file; choose another name")


def require_other_pictures(train: Survey, val: Survey) -> None:
    """Raises DatasetError when training and validation are the same dataset."""
    if train.plan == val.plan:
        raise DatasetError(
            f"TRAIN {train.url} and --val {val.url} are the same dataset: accuracy on training "
            "pictures says nothing; distort a validation set"
        )


def require_same_classes(train: Survey, val: Survey) -> None:
    if train.classes != val.classes:
        odd = sorted(set(train.classes) ^ set(val.classes))
        said = f"'{odd[0]}' is in one of them only" if odd else "their order differs"
        raise DatasetError(
            f"{train.url} has {len(train.classes)} classes and {val.url} has {len(val.classes)}, not the same "
            f"({said}), so equal labels would mean different classes"
        )


def require_classes(name: str, meta: dict, classes: tuple[str, ...]) -> None:
    if meta.get("classes_sha256", classes_sha256(classes)) != classes_sha256(classes):
        raise ValueError(f"{name} was trained on other classes, or on the same classes in another order")


def require_logits(network: Any, dataset: Dataset, column: str) -> None:
    """Raises ModelError unless a network from elsewhere answers a picture of the column with one logit per class.

    It is asked about one grey picture. Networks of our own families need no such question.
    """
    described = getattr(network, "description", {})
    kind, name = described.get("kind"), described.get("name")
    if kind is None or network.needs_headers or not (KINDS.load(kind).must_be_named or KINDS.package(kind)):
        return
    table, _ = dataset.parquet(column, 0, ["width", "height"])
    (size,) = table.slice(0, 1).to_pylist() or [{"width": 224, "height": 224}]
    picture = torch.full((1, size["height"], size["width"], 3), 128, dtype=torch.uint8)
    training, classes = network.training, len(dataset.plan.classes or ())
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            answer = network.eval()(picture)
    except Exception as error:  # the network's code may raise anything
        what = f"a picture of {size['width']}x{size['height']} pixels"
        raise ModelError(f"--arch {name} cannot answer {what}: {first_line(error)}") from error
    finally:
        network.train(training)
    if tuple(answer.shape) != (1, classes):
        raise ModelError(
            f"--arch {name} answers a picture with an array of shape {tuple(answer.shape)}, not (1, {classes}): "
            f"one logit for each of the {classes} classes of {dataset.storage.url}"
        )


def at_chance(top1: float, samples: int, classes: int) -> bool:
    """Whether a top-1 accuracy is below that of guessing plus two standard errors."""
    chance = 1 / classes
    return top1 <= chance + 2 * math.sqrt(chance * (1 - chance) / max(samples, 1))


def warn_of_chance(weights: str, top1: float, samples: int, classes: int) -> None:
    """Warn on stderr if weights are no better than chance: their classes are probably in another order."""
    if at_chance(top1, samples, classes):
        click.echo(
            f"note: {weights}: {top1:.1%} of {samples:,} samples right is no better than chance among {classes} "
            "classes: are its classes in this dataset's order, that of the sorted folder names?",
            err=True,
        )


def require_enough(name: str, pool: slices.Slice, world: World) -> None:
    """Raises ValueError when some rank would have nothing to evaluate."""
    if slices.size(pool) < world.size:
        raise ValueError(f"{name} has {slices.size(pool)} samples for {world.size} ranks: start fewer ranks")


def require_sizes(
    settings: Settings, world: World, batch: int, training: slices.Slice, selection: slices.Slice
) -> None:
    """Raises ValueError unless every rank and worker gets its share of every step."""
    split = world.size * settings.accumulate
    if batch % split:
        raise ValueError(
            f"--batch {batch} cannot be divided among {world.size} ranks x {settings.accumulate} accumulated parts"
        )
    samples, selected, held = slices.size(training), slices.size(selection), settings.select_on == "holdout"
    if samples < batch:
        cause = held and samples + selected >= batch
        kept = f" besides the {selected} that --holdout {settings.holdout:g} keeps away" if cause else ""
        raise ValueError(
            f"{settings.train} has {samples} samples to train on{kept}, fewer than one --batch of {batch}: use a "
            f"smaller --{'holdout' if cause else 'batch'}"
        )
    if held and not selected:
        raise ValueError(
            f"--holdout {settings.holdout:g} keeps none of the {samples} samples of {settings.train} away from "
            "training, so there is nothing to select on: use a larger one, or --select-on validation"
        )
    require_enough("the held-out slice" if held else settings.val, selection, world)
