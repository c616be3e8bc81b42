"""The commands' work, for Python: train a network, measure networks, cache a teacher."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import click
import torch

from shards import results
from shards.dataset import Dataset
from train.engine import job, loop
from train.engine.checks import require_results_file
from train.engine.distributed import World, world
from train.engine.evaluate import Candidate, evaluate, show
from train.engine.run import RunFolder
from train.engine.signals import Stopped
from train.engine.teach import teach
from train.networks.models import ModelError
from train.networks.precision import RESULTS
from train.routing.assemble import assemble
from train.settings import Settings


def run_training(settings: Settings) -> None:
    """Train, write the run folder, and evaluate the best weights at the end.

    Everything is checked before anything is touched. Raises SystemExit when a signal asked the run to stop.
    """
    folder = RunFolder(settings.out)
    resume = folder.look(settings.resume, settings.wandb)
    try:
        with world(settings.device) as here:
            _precision(settings.tf32)
            prepared = job.prepare(settings, here)
            training = loop.Training(prepared, folder, here)
            if resume:
                training.restore()
            with folder.held() if here.first else nullcontext():
                _run(training, folder, here)
    except Stopped as stop:
        if here.first:
            click.echo(str(stop), err=True)
        sys.exit(stop.exit_status)


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
        _evaluate(data, names, [best], out, here, settings.workers, settings.cache)
    if here.first:
        folder.finish()


def run_evaluation(
    val: str, *, checkpoint: tuple[str, ...], arch: str | None, weights: str | None, columns: str, out: str,
    batch: int, present_classes: bool, workers: int, cache: str | None, device: str,
    router: tuple[str, ...] = (), master: str | None = None, otherwise: str = "nearest",
) -> None:  # fmt: skip
    """Measure checkpoints and, with ``weights``, a network as it comes; write ``out``.

    ``router``: decisions of ``train.routing.assemble`` by which the checkpoints answer together.
    """
    require_results_file(Path(out))
    with world(device) as here:
        _precision(tf32=False)
        data = Dataset(val)
        if data.plan.classes is None:
            raise ValueError(f"{val} has no labels: nothing to count as right")
        names = list(data.columns) if columns == "all" else [name.strip() for name in columns.split(",")]
        candidates = [Candidate.pretrained(arch, weights, data)] if arch and weights else []
        candidates += [Candidate.of_file(file, data, arch) for file in checkpoint]
        if router:
            candidates += assemble(router, candidates, master, otherwise)
        _evaluate(data, names, candidates, Path(out), here, workers, cache, batch, present_classes)


def _evaluate(
    data: Dataset, names: list[str], candidates: list[Candidate], out: Path, here: World, workers: int,
    cache: str | None, batch: int = 64, present: bool = False,
) -> None:  # fmt: skip
    found = evaluate(data, names, candidates, here, batch=batch, workers=workers, cache=cache, present=present)
    if found:
        results.write(out, *found, evaluation={"precision": RESULTS, "classes": "present" if present else "all"})
        show(found[1])


def run_teaching(
    dataset: str, *, arch: str, weights: str, batch: int, workers: int, cache: str | None, device: str
) -> None:
    """Cache a teacher's scores beside ``dataset``."""
    if weights == "none":
        raise ModelError("a teacher needs trained weights: --weights FILE or imagenet")
    with world(device) as here:
        _precision(tf32=False)
        name, made = teach(Dataset(dataset), arch, weights, here, batch=batch, workers=workers, cache=cache)
        if here.first:
            click.echo(f"{dataset}: teacher {name}, {made} shards computed")


def _precision(tf32: bool) -> None:
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True  # pictures and batches have one size
