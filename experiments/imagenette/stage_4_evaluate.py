"""The last weights of every run on the test pictures: among the classes of the subset, and among all 1000."""

from __future__ import annotations

from design import ARCH, arguments, call, runs

ANSWERS = {"present": ["--present-classes"], "all": []}
EVERY_COLUMN = ("stability", "mixture")  #: methods that are judged at every column

if __name__ == "__main__":
    work, _, scale = arguments(__doc__)
    finished = [run for run in runs(scale) if (work / "runs" / run.name / "finished").exists()]
    for answers, options in ANSWERS.items():
        out = work / "results" / answers / "pretrained" / "results.json"
        if not out.exists():
            call(
                "train", "evaluate", work / "data/test", "--arch", ARCH, "--weights", "imagenet",
                "--columns", ",".join(["clean", *scale.columns]), "--out", out, *options,
            )  # fmt: skip
        for run in finished:
            if answers == "all" and run.factor != 1:  # the alpha curve is drawn among the classes of the subset
                continue
            columns = ["clean", *scale.columns] if run.method in EVERY_COLUMN else [run.column]
            out = work / "results" / answers / run.name / "results.json"
            if not out.exists():
                call(
                    "train", "evaluate", work / "data/test", "--columns", ",".join(columns), "--out", out,
                    "--checkpoint", work / "runs" / run.name / "last.safetensors", *options,
                )  # fmt: skip
