"""From settings to the parts of a training: datasets, student, objective, recipe. Everything is checked here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from shards.dataset import Dataset
from shards.errors import DatasetError
from train import protocol
from train.engine import checks
from train.engine.distributed import World
from train.feed import cached, slices
from train.feed.data import Source
from train.feed.reading import Survey, survey
from train.methods import objectives
from train.networks import models
from train.networks.models import Teacher
from train.settings import Settings

#: Settings that have to be the same when a run is continued.
IDENTITY = ("objective", "column", "arch", "protocol", "seed", "select_on", "holdout", "flip", "amp", "ema")


@dataclass
class Part:
    """Samples to be read for one purpose."""

    source: Source
    pool: slices.Slice

    @property
    def samples(self) -> int:
        return slices.size(self.pool)


@dataclass
class Job:
    """A training that can begin."""

    settings: Settings
    quirks: frozenset[str]
    recipe: protocol.Recipe
    batch: int
    epochs: int
    classes: tuple[str, ...]
    student: models.Classifier
    objective: objectives.Objective
    training: Part
    selection: Part
    identity: dict  #: has to be the same when the run is continued
    notes: list[str]  #: what the person should know

    @property
    def steps(self) -> int:
        """Optimiser steps of one epoch."""
        return slices.steps_per_epoch(self.training.samples, self.batch)

    def meta(self, epoch: int) -> dict:
        """What goes along with the weights."""
        chosen = self.settings
        return {
            "arch": chosen.arch,
            "method": chosen.objective,
            "trained_on": chosen.column,
            "seed": chosen.seed,
            "protocol": chosen.protocol,
            "quirks": sorted(self.quirks),
            "epoch": epoch,
            "classes": len(self.classes),
            "classes_sha256": models.classes_sha256(self.classes),
        }


def prepare(settings: Settings, world: World) -> Job:
    """Raises ValueError, with what to do, for everything that can be known before the first step."""
    train, val = Dataset(settings.train), Dataset(settings.val)
    found, found_val = (survey(dataset, [settings.column]) for dataset in (train, val))
    checks.require_same_classes(found, found_val)
    quirks = protocol.parse_quirks(settings.protocol, settings.quirks)
    recipe, notes = _recipe(settings)
    batch = settings.batch or recipe.reference_batch
    pools = _pools(settings, found, found_val)
    checks.require_sizes(settings, world, batch, *pools)
    loaded = _starting_weights(settings, found)
    weight = recipe.alpha * (batch if "kl-sum" in quirks else recipe.reference_batch)
    objective = _objective(settings, quirks, recipe, weight)
    caches = {}
    if isinstance(objective, objectives.Expert):
        objective.teacher = Teacher(loaded.classifier, world.device)
        caches = cached.find(settings, loaded, train, val, objective.teacher, notes)
    parts = []
    for dataset, pool in zip((train, val if settings.select_on == "validation" else train), pools, strict=True):
        teacher = caches.get(dataset.storage.url)
        columns = objective.columns(teacher is not None)
        survey(dataset, [name for name in columns if name != settings.column])
        parts.append(Part(Source(dataset.storage.url, columns, teacher, settings.cache), pool))
    identity = {
        "train dataset": found.plan,
        "validation dataset": found_val.plan,
        **{name: getattr(settings, name) for name in IDENTITY},
        "starting weights": models.weights_sha256(loaded.classifier.net),
        "quirks": sorted(quirks),
        "batch": batch,
        "lr": recipe.lr,
        "sigma": recipe.sigma,
        "weight of the second term": weight,
        "training samples": slices.size(pools[0]),
    }
    epochs = settings.epochs or protocol.epochs(settings.objective, quirks)
    student = loaded.classifier
    return Job(settings, quirks, recipe, batch, epochs, found.classes, student, objective, *parts, identity, notes)


def _starting_weights(settings: Settings, found: Survey) -> models.Loaded:
    if settings.weights == "none":
        if settings.objective != "finetune":
            raise ValueError(f"{settings.objective} starts from trained weights: --weights FILE or imagenet")
        torch.manual_seed(settings.seed)
    loaded = models.load(settings.arch, settings.weights, len(found.classes), settings.new_head)
    if not settings.new_head:
        checks.require_classes(settings.weights, loaded.meta, found.classes)
    return loaded


def _recipe(settings: Settings) -> tuple[protocol.Recipe, list[str]]:
    published = protocol.recipe(settings.objective, settings.arch, settings.column, settings.weights == "none")
    given = {name: getattr(settings, name) for name in ("lr", "alpha", "sigma")}
    recipe = replace(published, **{name: value for name, value in given.items() if value is not None})
    notes = []
    if not published.published and settings.lr is None:
        notes.append(
            f"the paper gives no learning rate for {settings.objective} of {settings.arch} on {settings.column}"
            f"{' from scratch' if settings.weights == 'none' else ''}: taking {recipe.lr:g}"
        )
    return recipe, notes


def _pools(settings: Settings, train: Survey, val: Survey) -> tuple[slices.Slice, slices.Slice]:
    if settings.select_on == "validation":
        return slices.between(train.counts, 0, train.samples), slices.between(val.counts, 0, val.samples)
    if not train.shuffled:
        raise DatasetError(
            f"{train.url} was made with --keep-order, so its end is no random sample to select on: "
            "use --select-on validation"
        )
    return slices.held_out(train.counts, settings.holdout, train.crops)


def _objective(settings, quirks, recipe, weight) -> objectives.Objective:
    if settings.objective == "finetune":
        return objectives.FineTuning(settings.column)
    if settings.objective == "expert":
        return objectives.Expert(settings.column, weight)
    return objectives.Stability(
        settings.column,
        weight,
        recipe.sigma,
        truncated_noise="truncated-noise" in quirks,
        one_sided="one-sided" in quirks,
        bn_drift="bn-drift" in quirks,
    )
