"""Options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from distort import crops, engines
from distort.distortion import parse_list
from shards.console import SOMETHING, Checked, FloatRange


def check_time(text: str) -> None:
    """Raise ValueError unless sbatch accepts ``text`` as a time limit, of three minutes to a year."""
    if not re.fullmatch(r"\d+(:[0-5]?\d){0,2}|\d+-([01]?\d|2[0-3])(:[0-5]?\d){0,2}", text):
        raise ValueError(f"'{text}' is not a time limit: use MINUTES, H:MM:SS or DAYS-HOURS, as in 8:00:00")
    days, dash, rest = text.rpartition("-")
    numbers = [int(number) for number in rest.split(":")]
    units = (60, 1, 1 / 60) if dash or len(numbers) == 3 else (1, 1 / 60)  # in minutes
    minutes = int(days or 0) * 1440 + sum(n * unit for n, unit in zip(numbers, units, strict=False))
    if not 3 <= minutes <= 366 * 1440:
        raise ValueError(f"'{text}': a task needs at least three minutes, and at most a year")


#: Options of sbatch that the script sets, and what to use instead. Others, such as --output, may be given again.
OURS = {
    **dict.fromkeys(("--array", "-a"), "--tasks"),
    **dict.fromkeys(("--cpus-per-task", "-c"), "--cpus"),
    **dict.fromkeys(("--time", "-t"), "--time"),
    **dict.fromkeys(("--signal", "--wrap"), ""),
}
NEEDS_VALUE = "AaBbCcDdeFGgiJLMmNnopqStwx"  #: short options of sbatch


def check_sbatch(text: str) -> None:
    """Raise ValueError for what is no option of sbatch, or one that the script needs for itself."""
    if not re.match(r"--?[a-zA-Z]", text):
        raise ValueError(f"'{text}' is no option of sbatch; write its dashes too, as in --sbatch=--account=x")
    name = re.split(r"[=\s]", text)[0] if text.startswith("--") else text[:2]
    if name in OURS:
        instead = f"use {OURS[name]} of distort slurm" if OURS[name] else "leave it out"
        raise ValueError(f"distort slurm sets {name} itself; {instead}")
    if re.fullmatch(f"-[{NEEDS_VALUE}]", text):
        raise ValueError(f"{text} needs a value, as in '--sbatch={text} x'")


class PartType(click.ParamType):
    name = "K/N"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        k, _, n = value.partition("/")
        if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
            self.fail(f"'{value}' is not K/N with 1 <= K <= N, as in 2/8")
        return int(k), int(n)


DISTORTIONS = click.option(
    "--distortions",
    required=True,
    type=Checked("names", parse_list),
    help="Comma-separated names and presets; see 'distort list'.",
)
WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    show_default="the cores this process may use; with Ray two per core of the cluster",
    help="Worker processes, one thread each; with Ray the tasks in flight.",
)
ENGINE = click.option(
    "--engine",
    type=Checked("name", engines.load),
    default="local",
    show_default=True,
    help="Where shards are made: local processes, tasks on a Ray cluster, or an engine of another package.",
)
ADDRESS = click.option(
    "--address",
    type=SOMETHING,
    help="HOST:PORT of the Ray cluster.  [default: $RAY_ADDRESS, or the cluster of this machine]",
)
ANY_VERSION = click.option(
    "--any-version",
    is_flag=True,
    help="Allow other library versions than those that began a column; its shards may then differ in some bytes.",
)
PART = click.option(
    "--part", type=PartType(), default="1/1", help="Make only shards K, K+N, …: this machine's share of N."
)
TIME = click.option(
    "--time",
    type=Checked("limit", check_time),
    default="4:00:00",
    show_default=True,
    help="Time limit per task, as MINUTES, H:MM:SS or DAYS-HOURS: at least three minutes, and enough for several "
    "shards. The task then continues in a new allocation.",
)
MAX_BAD = click.option(
    "--max-bad",
    type=FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="Exit with status 1 when a larger fraction of the pictures cannot be read.",
)
CROP = click.option(
    "--crop",
    type=Checked("crop", crops.parse),
    default="paper",
    show_default=True,
    help="paper: short side 256 bicubic, centre 224. none. center:SIZE. "
    "random:K: K random-resized crops of 224 per picture, at most 1,000.",
)
EXIF = click.option(
    "--exif-orientation", is_flag=True, help="Rotate pictures as their EXIF data says; ImageNet's loaders do not."
)
SSIM = click.option(
    "--ssim",
    type=click.Choice(["uniform", "gaussian"]),
    default="uniform",
    show_default=True,
    help="SSIM window: uniform 7x7 (scikit-image's default, the paper's numbers) or Gaussian 11x11 (Wang 2004).",
)


PROFILE = click.option("--profile", is_flag=True, help="At the end, print the time per picture of every stage.")


def work(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where and how shards are made."""
    for option in (PROFILE, ANY_VERSION, PART, ADDRESS, ENGINE, WORKERS):
        command = option(command)
    return command
