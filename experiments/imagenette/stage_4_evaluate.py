"""The last weights of every run on the test pictures: among the classes of the subset, and among all 1000."""

from __future__ import annotations

from pathlib import Path

from design import ARCH, arguments, call, each, runs

ANSWERS = {"present": ["--present-classes"], "all": []}
EVERY_COLUMN = ("stability", "mixture")  #: methods that are judged at every column


def evaluate(out: Path, columns: list[str], *more: object) -> None:
    """``train evaluate`` on the test pictures, unless its results are there."""
    if not out.exists():
        call(
            "train", "evaluate", out.parents[3] / "data/test", "--columns", ",".join(columns), "--out", out, *more
        )


if __name__ == "__main__":
    work, _, scale = arguments(__doc__)
    every = ["clean", *scale.columns]
    todo = []
    for answers, options in ANSWERS.items():
        start = ("--arch", ARCH, "--weights", "imagenet")
        todo.append((work / "results" / answers / "pretrained" / "results.json", every, *start, *options))
        for run in runs(scale):
            weights = work / "runs" / run.name
            if not (weights / "finished").exists():
                continue
            if answers == "all" and run.factor != 1:  # the alpha curve is drawn among the classes of the subset
                continue
            columns = every if run.method in EVERY_COLUMN else [run.column]
            out = work / "results" / answers / run.name / "results.json"
            todo.append((out, columns, "--checkpoint", weights / "last.safetensors", *options))
    each(lambda one: evaluate(*one), todo)
