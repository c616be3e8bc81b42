"""Real photographs (bundled with scikit-image) and real datasets made from them by the real command."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from .forked import Server

os.environ["OMP_NUM_THREADS"] = "1"  # pytest's workers share the cores; sums are the same in every process
CLASSES = {"animals": ("chelsea", "astronaut"), "things": ("coffee", "rocket")}
COLUMNS = "jpeg-10,j2k-75,webp-20,noise-20,noise-20+jpeg-10"


def pytest_configure() -> None:
    """While PyTorch is imported, and later among its objects, the garbage collector finds nothing, at length."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that train, start PyTorch in processes of their own, or install packages are slow."""
    for item in items:
        if {"training", "start", "plugin"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


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
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """``once(name, make)``: a folder that ``make(folder)`` has filled, once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent / "once" if "PYTEST_XDIST_WORKER" in os.environ else base / "once"
    base.mkdir(exist_ok=True)

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed to make it
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def tree(photographs, once) -> Path:
    """An ImageFolder tree: two classes, 24 JPEG pictures of different sizes. Read only."""

    def make(root: Path) -> None:
        for label, names in CLASSES.items():
            (root / label).mkdir()
            for name in names:
                for i in range(6):
                    picture = Image.fromarray(photographs[name]).crop((10 * i, 5 * i, 280 + 15 * i, 270 + 4 * i))
                    picture.save(root / label / f"{name}_{i}.jpg", quality=92)

    return once("tree", make)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Starts the commands as processes of their own."""
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def run(server) -> Callable[..., subprocess.CompletedProcess]:
    """``run(program, *arguments)``: a command as a process of its own; its status and what it printed."""
    return lambda *arguments: server.run(*map(str, arguments))


@pytest.fixture(scope="session")
def dataset(tree, run, once) -> Path:
    """24 samples in 5 shards with a clean and five distorted columns. Read only: copy it to damage it."""

    def make(folder: Path) -> None:
        made = run(
            "distort", "run", tree, folder / "val", "--distortions", COLUMNS, "--shard-size", 5, "--workers", 2
        )
        assert made.returncode == 0, made.stderr

    return once("dataset", make) / "val"


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
