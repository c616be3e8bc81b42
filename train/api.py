"""Training, evaluating and caching teachers from Python; the commands are thin layers over these functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import click
import torch

from shards import results
from shards.dataset import Dataset
from train.engine import evaluate as evaluation
from train.engine import job, loop
from train.engine import teach as teaching
from train.engine.checks import require_output, require_results_file
from train.engine.distributed import World, world
from train.engine.evaluate import Candidate
from train.engine.run import RunFolder
from train.engine.signals import heeded
from train.networks.models import ModelError, load_checkpoint
from train.networks.precision import RESULTS
from train.routing import exported
from train.routing.assemble import adapting, assemble
from train.settings import Settings

Folder = str | PathLike[str]


def fit(
    method: str, train: Folder, *, val: Folder, arch: str, weights: Folder, out: Folder, **options: Any
) -> Path:
    """Train a network by a method; returns the run folder, with ``best.safetensors`` and ``results.json``.

    ``options`` are those of ``train METHOD --help``, with underscores, lists for what is comma-separated there:
    ``fit("expert", "data/train", val="data/val", column="jpeg-10", arch="lite0", weights="imagenet",
    out="runs/et", alpha=0.01, epochs=5, test_columns=["clean", "jpeg-10"])``. Under torchrun every rank calls it.

    All checks run before any file is written. Raises ValueError with what to do: UnknownName for an unknown
    method or option, DatasetError, ModelError, CheckpointError, TrainingError (a loss is not finite).
    Raises Stopped when SIGTERM or SIGUSR1 asked the run to stop; ``resume=True`` continues it.
    """
    given = {"val": val, "arch": arch, "weights": weights, "out": out, **options}
    settings = Settings.of(method, train=train, **given)
    folder = RunFolder(settings.out)
    resume = folder.look(settings.resume, settings.wandb)
    with heeded(), world(settings.device) as here, _computing(here, settings.tf32):
        prepared = job.prepare(settings, here)
        training = loop.Training(prepared, folder, here)
        if resume:
            training.restore()
        with folder.held() if here.first else nullcontext():
            _run(training, folder, here)
    return folder.path


def _run(training: loop.Training, folder: RunFolder, here: World) -> None:
    prepared, settings = training.job, training.job.settings
    if here.first:
        for note in prepared.notes:
            click.echo(f"note: {note}", err=True)
        config = {**settings.plain(), **prepared.identity, "epochs": prepared.epochs}
        folder.describe(config, here.device, here.size)
        folder.start_logging(settings.wandb, settings.plain(), training.state.history)
    training.run()
    here.wait()
    data = Dataset(settings.val)
    if names := job.tested_columns(settings, data):
        best = Candidate.of_file(str(folder.path / "best.safetensors"), data, settings.arch)
        out = folder.path / results.FILE
        measured = _measure(data, names, [best], out, here, settings.workers, settings.cache)
        if measured:
            evaluation.show(measured)
    if here.first:
        folder.finish()
        click.echo(f"{folder.path / 'best.safetensors'}: the weights after epoch {training.state.best['epoch']}")


def evaluate(
    val: Folder, checkpoints: Sequence[Folder] = (), *, arch: str | None = None, weights: Folder | None = None,
    columns: Sequence[str] | None = None, out: Folder | None = None, batch: int = 64,
    present_classes: bool = False, workers: int = 2, cache: Folder | None = None, device: str = "auto",
    router: Sequence[str] = (), master: Folder | None = None, otherwise: str = "nearest",
    tent: bool = False,
) -> results.Results | None:  # fmt: skip
    """Accuracy of checkpoints and, with ``arch`` and ``weights``, of a pre-trained network, on columns of ``val``.

    All networks and columns (None: all of them) are measured in one pass. ``out`` is the ``.json`` file to write.
    ``arch`` alone names the network of checkpoints that must be named. With ``present_classes`` only classes that
    occur in ``val`` count as answers. ``router`` names the decisions of ``train.routing.assemble`` by which the
    checkpoints answer together; ``tent`` adds twins that adapt while they are tested. Under torchrun every rank
    calls it, and all but the first get None.

    Raises ValueError with what to do: DatasetError, ModelError, ResultsError.
    """
    if not (checkpoints or (arch and weights)) or (weights and not arch):
        raise ValueError("give checkpoints, or arch with weights, or both")
    target = None if out is None else Path(out)
    if target:
        require_results_file(target)
    with world(device) as here, _computing(here, tf32=False):
        data = Dataset(val)
        if data.plan.classes is None:
            raise ValueError(f"{val} has no labels, so accuracy cannot be measured")
        candidates = [Candidate.pretrained(arch, str(weights), data)] if arch and weights else []
        candidates += [Candidate.of_file(str(file), data, arch) for file in checkpoints]
        if arch and not weights and all(candidate.model["arch"] != arch for candidate in candidates):
            there = ", ".join(dict.fromkeys(candidate.model["arch"] for candidate in candidates))
            raise ModelError(f"--arch {arch}: the checkpoints are of {there}; leave it out, or give its --weights")
        names = list(data.columns) if columns is None else list(columns)
        told = None if master is None else str(master)
        teams = assemble(list(router), candidates, told, otherwise, names) if router else []
        candidates += [*(adapting(candidates, batch) if tent else []), *teams]
        local = None if cache is None else str(cache)
        return _measure(data, names, candidates, target, here, workers, local, batch, present_classes)


def _measure(
    data: Dataset, names: list[str], candidates: list[Candidate], out: Path | None, here: World, workers: int,
    cache: str | None, batch: int = 64, present: bool = False,
) -> results.Results | None:  # fmt: skip
    found = evaluation.evaluate(
        data, names, candidates, here, batch=batch, workers=workers, cache=cache, present=present
    )
    if not found:
        return None
    said = {"precision": RESULTS, "classes": "present" if present else "all"}
    if out:
        return results.write(out, *found, evaluation=said)
    return results.collect(*found[:2], evaluation=said)


def teach(
    dataset: Folder, *, arch: str, weights: Folder, batch: int = 64, workers: int = 2, cache: Folder | None = None,
    device: str = "auto",
) -> tuple[str, int]:  # fmt: skip
    """Cache a network's scores on the clean crops of ``dataset``; its experts then need no clean crops.

    Returns the teacher's name in the dataset and how many shards were computed; those that are there are kept.
    Raises ValueError with what to do: DatasetError, ModelError.
    """
    if weights == "none":
        raise ModelError("a teacher needs trained weights: --weights FILE or imagenet")
    with world(device) as here, _computing(here, tf32=False):
        local = None if cache is None else str(cache)
        return teaching.teach(
            Dataset(dataset), arch, str(weights), here, batch=batch, workers=workers, cache=local
        )


def export(checkpoint: Folder, out: Folder, *, side: int | None = None, arch: str | None = None) -> Path:
    """Write the network of a checkpoint as ``.onnx`` or ``.pt2``, by the suffix of ``out``; returns ``out``.

    The file takes uint8 pictures (batch, side, side, 3) and answers logits, float32 (batch, classes). ``arch`` as
    for ``evaluate``. Raises ValueError with what to do: ModelError.
    """
    target = Path(out)
    require_output(target)
    loaded = load_checkpoint(str(checkpoint), named=arch)
    if arch not in (None, loaded.arch):
        raise ValueError(f"{checkpoint} is a {loaded.arch}, not a {arch}: leave out --arch")
    return exported.export(loaded.network, target, side, loaded.meta)


@contextmanager
def _computing(here: World, tf32: bool) -> Iterator[None]:
    """Set GPU precision and the random seed; both are restored when the block ends."""
    backend, precision = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = backend.allow_tf32, backend.benchmark
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    backend.allow_tf32, backend.benchmark = tf32, True  # pictures and batches have one size
    try:
        with torch.random.fork_rng(devices=[here.device] if here.device.type == "cuda" else []):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        backend.allow_tf32, backend.benchmark = before
