"""``train``: from a dataset to experts, and their accuracy."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import torch

from shards import results
from shards.console import Group
from shards.dataset import Dataset
from train import protocol
from train.engine import job, loop
from train.engine.distributed import World, world
from train.engine.evaluate import Candidate, evaluate, show
from train.engine.run import RunFolder
from train.engine.signals import Stopped
from train.engine.step import PRECISIONS
from train.engine.teach import teach
from train.networks import models
from train.networks.precision import RESULTS
from train.settings import Settings


def together(*options):
    """Several options as one decorator, listed in this order."""

    def decorate(command):
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


NETWORK = together(
    click.option(
        "--arch", required=True, help="mnasnet1_0, resnet50, … (torchvision), lite0 to lite2, or timm:NAME."
    ),
    click.option("--weights", required=True, help="imagenet (converged), a file, or none (fresh)."),
)
READING = together(
    click.option("--workers", type=click.IntRange(0), default=2, show_default=True,
                 help="Processes per rank that read and decode; 0: this one."),
    click.option("--cache", type=click.Path(file_okay=False), help="Local folder for copies of remote shards."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
)  # fmt: skip
TRAINING = together(
    click.argument("train"),
    click.option("--val", required=True, help="The validation dataset."),
    NETWORK,
    click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder of this run."),
    click.option("--protocol", type=click.Choice(list(protocol.PROTOCOLS)), default="paper", show_default=True,
                 help="refcode: with the quirks of the authors' code."),
    click.option("--quirks", help=f"Exactly these, comma-separated: {', '.join(protocol.QUIRKS)}."),
    click.option("--epochs", type=click.IntRange(1), help="Default: the protocol's, 45."),
    click.option("--batch", type=click.IntRange(1),
                 help="Samples of one optimiser step over all ranks. Default: the paper's, 320 or 384."),
    click.option("--accumulate", type=click.IntRange(1), default=1, show_default=True,
                 help="Pieces in which a rank computes its part of the batch."),
    click.option("--lr", type=click.FloatRange(0, min_open=True), help="Default: the protocol's."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option("--select-on", type=click.Choice(["holdout", "validation"]), default="holdout", show_default=True,
                 help="What steers learning rate and best epoch. validation: as the paper did."),
    click.option("--holdout", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.02,
                 show_default=True, help="Fraction of TRAIN kept away from training."),
    click.option("--flip", is_flag=True, help="Mirror half of the samples, clean and distorted alike."),
    click.option("--shuffle", type=click.IntRange(1), default=1000, show_default=True,
                 help="Bitstreams each worker holds to shuffle them."),
    click.option("--amp", type=click.Choice(list(PRECISIONS)), default="none", show_default=True,
                 help="Mixed precision while training and selecting; results are float32."),
    click.option("--tf32/--no-tf32", default=True, show_default=True,
                 help="The same, of GPUs that have it. Teachers and results never use it."),
    click.option("--compile", is_flag=True, help="torch.compile the student."),
    click.option("--ema", type=click.FloatRange(0, 1, min_open=True, max_open=True),
                 help="Keep and judge an exponential moving average with this decay, as 0.9999."),
    click.option("--checkpoint-minutes", type=click.FloatRange(0), default=10, show_default=True),
    click.option("--resume", is_flag=True, help="Go on from OUT's checkpoint, if there is one."),
    click.option("--test-columns", default="all", show_default=True,
                 help="Columns of VAL on which the best weights are evaluated at the end; none: skip it."),
    click.option("--profile", is_flag=True, help="Write a torch profiler trace of steps 4 to 6 to OUT."),
    click.option("--wandb", is_flag=True, help="Log to Weights & Biases as well."),
    READING,
)  # fmt: skip
COLUMN = click.option("--column", required=True, help="The distortion to train for, as jpeg-10.")
ALPHA = click.option("--alpha", type=click.FloatRange(0), help="Weight of KL summed over the paper's batch. "
                     "Default: the protocol's.")  # fmt: skip


@click.group(cls=Group)
@click.version_option(package_name="codecproof")
def main():
    """Train and evaluate experts on datasets of tar shards. On N GPUs: torchrun --nproc-per-node N -m train …"""


@main.command(epilog="Example: train finetune data/train --val data/val --column jpeg-10 --arch mnasnet1_0 "
              "--weights imagenet --out runs/ft-jpeg-10")  # fmt: skip
@TRAINING
@COLUMN
@click.option("--new-head", is_flag=True, help="Fresh last layer where the weights have other classes.")
def finetune(**options):
    """Cross-entropy on one column of TRAIN. With --weights none: training from scratch."""
    _train("finetune", options)


@main.command(epilog="Example: train expert data/train --val data/val --column jpeg-10 --arch mnasnet1_0 "
              "--weights imagenet --out runs/et-jpeg-10")  # fmt: skip
@TRAINING
@COLUMN
@ALPHA
@click.option("--teacher", type=click.Choice(["auto", "live", "cached"]), default="auto", show_default=True,
              help="auto: cached ('train teach') where it is, otherwise live.")  # fmt: skip
def expert(**options):
    """Fine-tuning, taught by what the frozen starting network says of the clean crops (Marie et al. 2022)."""
    _train("expert", options)


@main.command(epilog="Example: train stability data/train --val data/val --arch resnet50 --weights imagenet "
              "--protocol refcode --out runs/st")  # fmt: skip
@TRAINING
@click.option("--column", default="clean", show_default=True, help="The pictures that noise is added to.")
@ALPHA
@click.option("--sigma", type=click.FloatRange(0), help="Of the noise, a fraction of the range.")
def stability(**options):
    """The same answer with and without noise, last layer only (Zheng et al. 2016)."""
    _train("stability", options)


def _train(objective: str, options: dict) -> None:
    device = options.pop("device")
    settings = Settings(objective=objective, **options)
    folder = RunFolder(settings.out)
    with world(device) as here:
        _precision(settings.tf32)
        resumed = folder.open(settings.resume)
        prepared = job.prepare(settings, here)
        if here.first:
            for note in prepared.notes:
                click.echo(f"note: {note}", err=True)
            config = {**vars(settings), **prepared.identity, "epochs": prepared.epochs}
            folder.describe(config, here.device, here.size)
        try:
            loop.train(prepared, folder, here, resumed)
        except Stopped as stop:
            if here.first:
                folder.close(finished=False)
                click.echo(str(stop), err=True)
            sys.exit(stop.exit_status)
        here.wait()
        if settings.test_columns != "none":
            data, out = Dataset(settings.val), folder.path / "results.json"
            best = Candidate.of_file(str(folder.path / "best.safetensors"), data)
            _evaluate(data, settings.test_columns, [best], out, here, settings.workers, settings.cache)
        if here.first:
            folder.close(finished=True)


@main.command("evaluate", epilog="Example: train evaluate data/val --checkpoint runs/et-jpeg-10/best.safetensors "
              "--out results.json")  # fmt: skip
@click.argument("val")
@click.option("--checkpoint", multiple=True, help="Weights that 'train' wrote; may be repeated.")
@click.option("--arch", help="With --weights: a network as it comes, the pre-trained row.")
@click.option("--weights", help="imagenet, or a file.")
@click.option("--columns", default="all", show_default=True, help="Comma-separated.")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="The .json file to write.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Samples per rank and pass.")
@click.option(
    "--present-classes",
    is_flag=True,
    help="Answers are the classes that occur in VAL, not all that the network knows: for a subset of ImageNet.",
)
@READING
def evaluate_command(val, checkpoint, arch, weights, columns, out, batch, present_classes, workers, cache, device):
    """Top-1, top-5 and loss on columns of VAL, in one pass over it for all columns and checkpoints."""
    if bool(arch) != bool(weights) or not (arch or checkpoint):
        raise click.UsageError("give --checkpoint FILE, or --arch NAME with --weights, or both")
    with world(device) as here:
        _precision(tf32=False)
        data = Dataset(val)
        if data.plan.classes is None:
            raise ValueError(f"{val} has no labels: nothing to count as right")
        candidates = [Candidate.pretrained(arch, weights, data)] if arch else []
        candidates += [Candidate.of_file(file, data) for file in checkpoint]
        _evaluate(data, columns, candidates, Path(out), here, workers, cache, batch, present_classes)


def _evaluate(data, columns, candidates, out: Path, here: World, workers, cache, batch=64, present=False) -> None:
    names = list(data.columns) if columns == "all" else [name.strip() for name in columns.split(",")]
    found = evaluate(data, names, candidates, here, batch=batch, workers=workers, cache=cache, present=present)
    if found:
        results.write(out, *found, evaluation={"precision": RESULTS, "classes": "present" if present else "all"})
        show(found[1])


@main.command("teach", epilog="Example: train teach data/train --arch mnasnet1_0 --weights imagenet")
@click.argument("dataset")
@NETWORK
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True)
@READING
def teach_command(dataset, arch, weights, batch, workers, cache, device):
    """Cache a teacher's log-probabilities of DATASET's clean crops; 'train expert' then reads no clean crop."""
    if weights == "none":
        raise models.ModelError("a teacher needs trained weights: --weights FILE or imagenet")
    with world(device) as here:
        _precision(tf32=False)
        name, made = teach(Dataset(dataset), arch, weights, here, batch=batch, workers=workers, cache=cache)
        if here.first:
            click.echo(f"{dataset}: teacher {name}, {made} shards computed")


def _precision(tf32: bool) -> None:
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True  # pictures and batches have one size
