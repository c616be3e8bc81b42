"""Every method of docs/methods.md on one small dataset, and one report of all of them. README.md says more.

Example: python experiments/systems/run.py PICTURES WORK small

What is finished is skipped, so repeat the command to resume it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "imagenette"))

from design import START, call, each
from stage_1_distort import copy

COLUMNS = ("jpeg-5", "jpeg-10", "j2k-200")
ALL = ",".join(COLUMNS)
UNSEEN = ("jpeg-20", "jpeg-50", "j2k-75")  #: qualities that nothing is trained on
SHOWN = ("clean", *COLUMNS, *UNSEEN)  #: of the table that has every method
DEGRADED = (*UNSEEN, "noise-20", "blur-1", "noise-20+jpeg-10", "blur-1+jpeg-10")
BINS = f"clean/{COLUMNS[0]},{COLUMNS[1]}/{COLUMNS[2]}"  #: of the master
#: The master's branches but the clean one, which is the pre-trained network.
BRANCHES = {"branch-jpeg": f"{COLUMNS[0]},{COLUMNS[1]}", "branch-j2k": COLUMNS[2]}
ROUTERS = ("headers", "switched", "soft", "max", "oracle")
RESULTS = Path(__file__).with_name("results")
LR = ("--lr", 1e-4)  #: of every training of a whole network; not tuned
LAST = ("--layers", "last:1", "--lr", 1e-2)  #: of the last layer alone, which 1e-4 leaves as it is


@dataclass(frozen=True)
class Scale:
    """One size of the experiment. Pictures are per class."""

    train: int
    test: int | None  #: None: all
    epochs: int
    batch: int
    width: int  #: of the transform before the encoder


SCALES = {
    "tiny": Scale(train=2, test=2, epochs=1, batch=6, width=4),
    "small": Scale(train=40, test=20, epochs=1, batch=16, width=16),
    "full": Scale(train=400, test=None, epochs=2, batch=32, width=32),
}


def runs(scale: Scale) -> dict[str, tuple]:
    """Name of a run -> method and options."""
    one = {
        f"{method}-{column}": (method, "--column", column, *lr)
        for method, lr in (("finetune", LR), ("expert", LR), ("batchnorm", ()), ("deepcloak", ()))
        for column in COLUMNS
    }
    branches = {name: ("augment", "--columns", columns, "--no-clean", *LAST) for name, columns in BRANCHES.items()}
    rebuild = scale.epochs * scale.train * 10 // scale.batch  # half of the steps
    transform = ("pretransform", "--width", scale.width, "--reconstruct", rebuild, "--lr", 1e-3,
                 "--epochs", 2 * scale.epochs)  # fmt: skip
    return {
        **one,
        "stability": ("stability", *LR),
        "mixture": ("mixture", "--columns", ALL, *LR),
        "consistency": ("consistency", "--columns", ALL, *LR),
        "consistency-rmb": ("consistency", "--columns", ALL, "--rmb", "--beta", 1, *LR),
        "augment": ("augment", "--columns", ALL, *LAST),
        **branches,
        "conditioned": ("conditioned", "--columns", f"clean,{ALL}", *LR),
        "conditioned-blend": ("conditioned", "--columns", f"clean,{ALL}", "--form", "blend", *LR),
        "progressive": ("progressive", "--columns", "jpeg-10,jpeg-5", "--epochs", 2 * scale.epochs,
                        "--every", scale.epochs, *LR),
        "augmix": ("augmix", *LR),
        "suzuki": transform,
        "suzuki-plain": (*transform, "--bypass", "none", "--tv", 0),
        "palacio": (*transform, "--bypass", "none", "--tv", 0, "--decoder-only"),
        "master": ("master", "--bins", BINS, "--arch", "master", "--weights", "none", "--lr", 1e-3,
                   "--epochs", 4 * scale.epochs),
    }  # fmt: skip


TRANSFORMS = ("suzuki", "suzuki-plain", "palacio")
APART = (*TRANSFORMS, *BRANCHES, "master")  #: not evaluated as classifiers of their own


def distort(pictures: Path, work: Path, scale: Scale) -> None:
    """The datasets ``train`` and ``test``, and the teacher's cached answers."""
    for name, split, count, columns in (
        ("train", "train", scale.train, COLUMNS),
        ("test", "val", scale.test, (*COLUMNS, *DEGRADED)),
    ):
        copy(pictures / split, work / "pictures" / name, 0, count)
        call(
            "distort", "run", work / "pictures" / name, work / "data" / name, "--distortions", ",".join(columns),
            "--crop", "center:128", "--classes", "imagenet",
        )  # fmt: skip
    call("train", "teach", work / "data/train", *START)


def arguments(work: Path, scale: Scale, name: str, method: str, *options: object) -> list:
    """The command of one training; later options replace earlier ones."""
    return [
        "train", method, work / "data/train", "--val", work / "data/test", *START, "--holdout", 0.1,
        "--epochs", scale.epochs, "--batch", scale.batch, "--workers", 1, "--test-columns", "none",
        "--resume", "--out", work / "runs" / name, *options,
    ]  # fmt: skip


def train(work: Path, scale: Scale, run: tuple[str, tuple]) -> None:
    """One training, unless it is finished."""
    name, options = run
    if not (work / "runs" / name / "finished").exists():
        call(*arguments(work, scale, name, *options))


def transformed(work: Path) -> list[str]:
    """Columns of what the transforms, and TV-L1, made before the encoder."""
    steps = {f"pre:{name}": f"pre:{name}={weights(work, name)}" for name in TRANSFORMS} | {"tvl1-0.8": "tvl1-0.8"}
    columns = [(f"{name}+{codec}", f"{step}+{codec}") for name, step in steps.items() for codec in COLUMNS]
    call("distort", "add", work / "data/test", "--distortions", ",".join(spec for _, spec in columns))
    return [column for column, _ in columns]


def weights(work: Path, name: str) -> Path:
    return work / "runs" / name / "last.safetensors"


def evaluate(work: Path, name: str, columns: list[str] | tuple, checkpoints: list[str], *options: object) -> None:
    """All in one pass over the test pictures, among the classes that they have."""
    out = work / "results" / name / "results.json"
    if not out.exists():
        given = [part for run in checkpoints for part in ("--checkpoint", weights(work, run))]
        call("train", "evaluate", work / "data/test", "--columns", ",".join(columns), *given, "--present-classes",
             "--out", out, *options)  # fmt: skip


def answers(work: Path) -> list[dict]:
    """Every method's top-1 (percent, 95 % interval) at every column that counts for it, with the column's rate."""
    import report.api

    found = report.api.collect([work / "data/test"], [work / "results"]).accuracy.to_pylist()
    kept = ("label", "distortion", "n", "accuracy", "low", "high", "bytes_mean", "psnr_mean")
    return [
        {key: round(row[key], 2) if isinstance(row[key], float) else row[key] for key in kept} for row in found
    ]


def table(rows: list[dict]) -> str:
    """Markdown: methods by columns, then the pre-trained network on all other columns, with their rates."""
    cells = {(row["label"], row["distortion"]): f"{row['accuracy']:.1f} [{row['low']:.0f}, {row['high']:.0f}]"
             for row in rows}  # fmt: skip
    lines = [f"| | {' | '.join(SHOWN)} |", "|---" * (len(SHOWN) + 1) + "|"]
    for label in dict.fromkeys(row["label"] for row in rows if row["distortion"] in SHOWN):
        lines.append(f"| {label} | {' | '.join(cells.get((label, column), '') for column in SHOWN)} |")
    lines += ["", "| column | bytes | PSNR | pre-trained |", "|---|---|---|---|"]
    for row in rows:
        name = row["distortion"]
        if row["label"] == "Pre-trained" and name not in ("clean", *COLUMNS):
            rate = "" if row["bytes_mean"] is None else f"{row['bytes_mean']:,.0f}"
            lines.append(f"| {name} | {rate} | {row['psnr_mean']:.1f} | {cells[row['label'], name]} |")
    return "\n".join(lines) + "\n"


def write(scale: str, rows: list[dict]) -> None:
    """``results/SCALE.json`` and the table in ``results/SCALE.md`` beside this file."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{scale}.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / f"{scale}.md").write_text(table(rows))
    print(RESULTS / f"{scale}.md")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="holds train/WNID/* and val/WNID/* of some ImageNet classes")
    parser.add_argument("work", type=Path, help="folder for datasets and runs")
    parser.add_argument("scale", choices=SCALES, nargs="?", default="tiny")
    given = parser.parse_args()
    work, scale = (given.work / given.scale).absolute(), SCALES[given.scale]
    distort(given.pictures, work, scale)
    todo = runs(scale)
    each(partial(train, work, scale), todo.items())
    experts = [name for name in todo if name.startswith("expert")]
    routers = [part for name in ROUTERS for part in ("--router", name)]
    evaluate(work, "networks", SHOWN, [name for name in todo if name not in (*APART, *experts)])
    evaluate(work, "routers", SHOWN, [*experts, *BRANCHES], *START, *routers, "--master", weights(work, "master"))
    evaluate(work, "pretrained", ("clean", *DEGRADED, *COLUMNS, *transformed(work)), [], *START, "--tent")
    call("report", "build", work / "data/test", "--results", work / "results", "--out", work / "report",
         "--title", f"Every method, scale {given.scale}")  # fmt: skip
    write(given.scale, answers(work))
