"""Real photographs (bundled with scikit-image) and real datasets made from them by the real command."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

CLASSES = {"animals": ("chelsea", "astronaut"), "things": ("coffee", "rocket")}
COLUMNS = "jpeg-10,j2k-75,webp-20,noise-20,noise-20+jpeg-10"


@pytest.fixture(scope="session")
def photographs() -> dict[str, np.ndarray]:
    """Four uint8 RGB photographs by name."""
    return {name: getattr(skimage.data, name)() for names in CLASSES.values() for name in names}


@pytest.fixture(scope="session")
def crop(photographs) -> np.ndarray:
    """A read-only 224x224 crop of a cat."""
    rgb = np.ascontiguousarray(photographs["chelsea"][40:264, 100:324])
    rgb.flags.writeable = False
    return rgb


@pytest.fixture(scope="session")
def tree(photographs, tmp_path_factory) -> Path:
    """An ImageFolder tree: two classes, 24 JPEG pictures of different sizes."""
    root = tmp_path_factory.mktemp("tree")
    for label, names in CLASSES.items():
        (root / label).mkdir()
        for name in names:
            for i in range(6):
                picture = Image.fromarray(photographs[name]).crop((10 * i, 5 * i, 280 + 15 * i, 270 + 4 * i))
                picture.save(root / label / f"{name}_{i}.jpg", quality=92)
    return root


def command(*arguments: object) -> subprocess.CompletedProcess:
    """Run one of the project's commands as its own process, as a user would."""
    program, *rest = map(str, arguments)
    return subprocess.run(
        [Path(sys.executable).parent / program, *rest], capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="session")
def run():
    return command


@pytest.fixture(scope="session")
def dataset(tree, tmp_path_factory) -> Path:
    """24 samples in 5 shards with a clean and five distorted columns. Read only: copy it to damage it."""
    root = tmp_path_factory.mktemp("dataset") / "val"
    made = command("distort", "run", tree, root, "--distortions", COLUMNS, "--shard-size", 5, "--workers", 2)
    assert made.returncode == 0, made.stderr
    return root


def sha256(root: Path) -> dict[str, str]:
    """Digest of every file below a folder, by relative name."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def digests():
    return sha256
