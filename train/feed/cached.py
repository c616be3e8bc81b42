"""Find the cached teacher of a training, and check that it agrees with the live one."""

from __future__ import annotations

import numpy as np

from shards.dataset import Dataset
from shards.errors import DatasetError
from train.feed import slices, teachers
from train.feed.data import Reader, Source
from train.methods.reads import CLEAN
from train.methods.terms import divergence
from train.networks.models import Loaded
from train.networks.teacher import Teacher
from train.settings import Settings

SAMPLES = 16
LIMIT = 1e-3  #: mean KL in nats: far above rounding, far below the effect of other weights


def find(
    settings: Settings,
    wanted: str,
    loaded: Loaded,
    train: Dataset,
    val: Dataset,
    teacher: Teacher,
    notes: list[str],
) -> dict[str, str]:
    """Url of a dataset -> the cached teacher to use for it, checked against the live one; ``notes`` says more.

    Raises ValueError when a cache is asked for and cannot be used, DatasetError when the check fails.
    """
    if settings.flip and wanted == "cached":
        raise ValueError(
            "cached teacher scores are for pictures that are not mirrored: use --flip with --teacher live"
        )
    if wanted == "live" or settings.flip:
        return {}
    name = teachers.identity(teachers.fingerprint(loaded.network, settings.arch))
    found = {}
    for dataset in (train, val) if settings.select_on == "validation" else (train,):
        record = teachers.read_record(dataset, name)
        if record:
            teachers.require_current(dataset, name, record)
            notes += compare_with_live(dataset, name, record, teacher, settings.seed)
            found[dataset.storage.url] = name
            continue
        how = f"'train teach {dataset.storage.url} --arch {settings.arch} --weights {settings.weights}'"
        if wanted == "cached":
            raise DatasetError(f"{dataset.storage.url} has no cache of teacher {name}; {how} makes it")
        notes.append(f"the teacher runs live on the clean crops of {dataset.storage.url}; {how} avoids this")
    return found


def compare_with_live(dataset: Dataset, name: str, record: dict, teacher: Teacher, seed: int) -> list[str]:
    """Recompute some scores. Raises DatasetError when they differ; returns notes for the user."""
    counts = [shard["samples"] for shard in record["shards"]]
    total = sum(counts)
    start = int(np.random.default_rng([seed, total]).integers(max(total - SAMPLES, 0) + 1))
    reader = Reader(Source(dataset.storage.url, (CLEAN,), name))
    runs = slices.between(counts, start, min(start + SAMPLES, total))
    batch = reader.batch([sample for shard, lo, hi in runs for sample in reader.samples(shard, range(lo, hi))])
    assert batch.teacher is not None  # the source names one
    live = teacher.log_probs(batch.images[CLEAN]).float().cpu()
    off = float(divergence(live.log_softmax(1), batch.teacher.float().log_softmax(1)))
    if not abs(off) < LIMIT:
        raise DatasetError(
            f"{dataset.storage.url}/{teachers.FOLDER}/{name}: the scores of {len(batch.keys)} samples from "
            f"'{batch.keys[0]}' on differ from recomputed ones (mean KL {off:.2g}); delete it and run "
            "'train teach' again"
        )
    there, now = record["versions"], teachers.versions()
    if there == now:
        return []
    said = ", ".join(f"{library} {there[library]}, here {now[library]}" for library in now)
    return [f"teacher {name} was cached with {said}; recomputed, its scores are the same (mean KL {off:.1g})"]
