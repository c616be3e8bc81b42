"""``train``: from a dataset to trained networks, and their accuracy. PyTorch is imported when a command runs."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from shards.console import NAMES, SOMETHING, Command, Group, PathType
from shards.console import names as names_in
from train.methods import METHODS
from train.methods.base import Method
from train.options import click_options
from train.recipes import Recipe
from train.settings import ARCH_HELP, Settings

C = TypeVar("C", bound=Callable[..., Any])


def together(*options: Callable[[C], C]) -> Callable[[C], C]:
    """Several options as one decorator, listed in this order."""

    def decorate(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


ROUTERS = ("headers", "switched", "soft", "max", "oracle")
READING = together(
    click.option("--workers", type=click.IntRange(0), default=2, show_default=True,
                 help="Processes per rank that read and decode; 0: the main process."),
    click.option("--cache", type=PathType(file_okay=False), help="Local folder for copies of remote shards."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
)  # fmt: skip


class MethodCommand(Command):
    """``train METHOD``; its options are those of every training, of recipes, and of the method."""

    def __init__(self, name: str, method: type[Method]):
        parts = {"Method": method.Options, "Recipe": Recipe, "Options": Settings}
        self.sections = {title: click_options(part) for title, part in parts.items()}
        shared = {option.name for title in ("Recipe", "Options") for option in self.sections[title]}
        for option in self.sections["Method"]:
            if option.name in shared:
                raise ValueError(
                    f"method '{name}': all methods share an option '{option.name}'; rename the method's"
                )
        example = f"Example: train {name} data/train --val data/val {method.example}" if method.example else None
        super().__init__(
            name, callback=self._train, help=method.__doc__, epilog=example,
            params=[click.Argument(["train"]), *(option for part in self.sections.values() for option in part)],
        )  # fmt: skip

    def _train(self, **values: Any) -> None:
        if values["quirks"] is not None and values["protocol"] == "refcode":
            raise click.UsageError(
                "--protocol refcode uses all quirks, --quirks only those listed: give one of them"
            )
        from train import fit
        from train.engine.signals import Stopped

        try:
            fit(self.name or "", values.pop("train"), **values)
        except Stopped as stop:
            if _first():
                click.echo(str(stop), err=True)
            sys.exit(stop.exit_status)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Options under headings: the method's own, the recipe's, and those of every training."""
        for title, options in self.sections.items():
            records = [record for option in options if (record := option.get_help_record(ctx))]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """For an option that only other methods have, the error names those methods."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            having = [name for name in METHODS.own if name != self.name and _has(name, error.option_name)]
            if having:
                have = "has" if len(having) == 1 else "have"
                raise click.UsageError(
                    f"{self.name} has no option {error.option_name}; {', '.join(having)} {have} it", ctx
                ) from None
            raise


def _first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _has(method: str, option: str) -> bool:
    return any(option in parameter.opts for parameter in click_options(METHODS.load(method).Options))


#: What other programs call an option -> what it is called here.
CALLED = {
    "model": "--arch",
    "learning-rate": "--lr",
    "batch-size": "--batch",
    "bs": "--batch",
    "wd": "--weight-decay",
}


class Commands(Group):
    """The fixed commands, and one for every method."""

    def invoke(self, ctx: click.Context) -> Any:
        """An option that is not there is answered with those whose names are near, or that mean the same."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            name, command = error.option_name.lstrip("-"), error.ctx.command if error.ctx else self
            there = {option.lstrip("-"): option for part in command.params for option in part.opts}
            near = [there[option] for option in difflib.get_close_matches(name, there, cutoff=0.6)]
            same = [CALLED[name]] if CALLED.get(name) in there.values() else near
            hint = f" Did you mean {' or '.join(map(repr, same))}?" if same else ""
            raise click.NoSuchOption(error.option_name, f"{error.message}{hint}", ctx=error.ctx) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Methods first."""
        return [*METHODS.names(), *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command with this name. A method of another package is imported here."""
        fixed = super().get_command(ctx, name)
        return fixed or (MethodCommand(name, METHODS.load(name)) if name in METHODS else None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raises click.UsageError with the nearest name when there is no such command."""
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-"):
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'? " if near else ""
            ctx.fail(f"no command '{name}': {hint}there are {', '.join(names)}")
        return super().resolve_command(ctx, args)

    def summary(self, ctx: click.Context, name: str) -> str:
        """The first line of a command's help. A method of another package is not imported for it."""
        package = METHODS.package(name)
        return f"A method of the package {package}." if package else super().summary(ctx, name)


@click.group(cls=Commands)
@click.version_option(package_name="codecproof")
def main() -> None:
    """Train and evaluate experts on datasets of tar shards.

    On N GPUs: torchrun --nproc-per-node N --no-python train …
    """


@main.command("evaluate", epilog="Example: train evaluate data/val --checkpoint runs/et-jpeg-10/best.safetensors "
              "--out results.json")  # fmt: skip
@click.argument("val")
@click.option("--checkpoint", type=SOMETHING, multiple=True, help="Weights that 'train' wrote; may be repeated.")
@click.option("--arch", type=SOMETHING, help="With --weights: also evaluate this pre-trained network. Alone: the "
              "network of checkpoints that must be named, as MODULE:FUNCTION.")  # fmt: skip
@click.option("--weights", type=SOMETHING, help="imagenet, a file, or none (untrained).")
@click.option("--columns", type=NAMES, default="all", show_default=True, help="Comma-separated.")
@click.option("--router", multiple=True, is_flag=False, flag_value="headers", metavar="[DECISION]",
              type=click.Choice(ROUTERS), help="Let the checkpoints answer together, each for what it was trained "
              "for: by the bitstream's headers (the default), by a master (switched, soft), by their maximum "
              "(max), or by the labels (oracle, an upper bound). May be repeated.")  # fmt: skip
@click.option("--master", type=SOMETHING, help="Weights of 'train master', for --router switched and soft.")
@click.option("--otherwise", type=click.Choice(["nearest", "base", "error"]), default="nearest", show_default=True,
              help="What --router headers does where no checkpoint was trained for: the nearest quality of the "
              "codec, the network of --weights, or stop.")  # fmt: skip
@click.option("--tent", is_flag=True, help="Also evaluate a copy of every network that adapts its "
              "batch norm to each column during the test, without labels (TENT).")  # fmt: skip
@click.option("--out", required=True, type=PathType(dir_okay=False), help="The .json file to write.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Samples per rank and pass.")
@click.option(
    "--present-classes",
    is_flag=True,
    help="Predict only classes that occur in VAL, for a subset of ImageNet.",
)
@READING
def evaluate_command(
    val: str, checkpoint: tuple[str, ...], arch: str | None, weights: str | None, columns: str, **options: Any
) -> None:
    """Top-1, top-5 and loss on columns of VAL, in one pass over it for all columns and checkpoints."""
    if not (checkpoint or (arch and weights)) or (weights and not arch):
        raise click.UsageError("give --checkpoint FILE, or --arch NAME with --weights, or both")
    if options["master"] and not {"switched", "soft"} & set(options["router"]):
        raise click.UsageError("--master is for --router switched and --router soft: give one of them too")
    if options["otherwise"] != "nearest" and "headers" not in options["router"]:
        raise click.UsageError("--otherwise is for --router headers: give it too")
    for file in checkpoint:
        if "," in file and not os.path.exists(file):
            raise click.UsageError(
                f"--checkpoint {file}: one file each, as in --checkpoint {' --checkpoint '.join(file.split(','))}"
            )
    names = None if columns == "all" else names_in(columns)
    from train import evaluate
    from train.engine.evaluate import show

    if found := evaluate(val, checkpoint, columns=names, arch=arch, weights=weights, **options):
        show(found)


@main.command("teach", epilog="Example: train teach data/train --arch mnasnet1_0 --weights imagenet")
@click.argument("dataset")
@click.option("--arch", type=SOMETHING, required=True, help=ARCH_HELP)
@click.option("--weights", type=SOMETHING, required=True, help="imagenet (converged) or a file.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True)
@READING
def teach_command(dataset: str, **options: Any) -> None:
    """Cache a teacher's log-probabilities of DATASET's clean crops; 'train expert' then reads no clean crop."""
    from train import teach

    name, made = teach(dataset, **options)
    if _first():
        click.echo(f"{dataset}: teacher {name}, {made} shards computed")


@main.command("export", epilog="Example: train export runs/et-jpeg-10/best.safetensors --out jpeg-10.onnx")
@click.argument("checkpoint")
@click.option("--out", required=True, type=PathType(dir_okay=False), help="FILE.onnx, or FILE.pt2 (torch.export).")
@click.option("--side", type=click.IntRange(1), help="Of its pictures, in pixels. Default: what the network was "
              "made for, else 224.")  # fmt: skip
@click.option(
    "--arch", type=SOMETHING, help="The network, for checkpoints that must be named, as MODULE:FUNCTION."
)
def export_command(checkpoint: str, out: str, **options: Any) -> None:
    """Write CHECKPOINT as one file for other programs: uint8 pictures (batch, side, side, 3) in, logits out.

    The normalisation is part of it. Before the file appears, its answers are compared with the network's.
    """
    from train import export

    click.echo(f"{export(checkpoint, out, **options)}")
