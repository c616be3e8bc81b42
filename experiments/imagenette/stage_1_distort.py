"""PICTURES -> the datasets train, tune and test, and the teacher's cached answers.

PICTURES holds train/WNID/* and val/WNID/* of some of ImageNet's classes. Its files are copied to WORK, where the
training split is divided: the last ``tune`` pictures of every class, in the order of their names' sha256, tune the
learning rates and are never trained on.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from design import START, arguments, call


def copy(source: Path, target: Path, lo: int, hi: int | None) -> None:
    """The files ``lo`` to ``hi`` of every class folder, in an order that no file system decides."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir(), key=lambda file: hashlib.sha256(file.name.encode()).digest())
        (target / folder.name).mkdir(parents=True, exist_ok=True)
        for file in files[lo:hi]:
            shutil.copyfile(file, target / folder.name / file.name)


if __name__ == "__main__":
    pictures = Path(sys.argv.pop(1))
    work, _, scale = arguments(__doc__)
    columns = ",".join(scale.columns)
    parts = {"train": ("train", scale.tune, scale.tune + scale.train), "tune": ("train", 0, scale.tune)}
    for name, (split, lo, hi) in (parts | {"test": ("val", 0, scale.test)}).items():
        copy(pictures / split, work / "pictures" / name, lo, hi)
        call(
            "distort", "run", work / "pictures" / name, work / "data" / name, "--distortions", columns,
            "--crop", scale.crop, "--classes", "imagenet",
        )  # fmt: skip
    for name in ("train", "tune"):
        call("train", "teach", work / "data" / name, *START)
