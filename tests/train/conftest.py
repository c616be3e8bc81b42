"""Small real datasets (64x64 tiles of photographs, three classes, uneven shards) and a real small network."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage.data
import torch
from click.testing import CliRunner
from PIL import Image

from train.cli import main
from train.networks import models

if TYPE_CHECKING:
    from ..forked import Process

ARCH = "shufflenet_v2_x0_5"
CLASSES = {"cat": "chelsea", "coffee": "coffee", "rocket": "rocket"}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Sums come out the same in every process."""
    torch.set_num_threads(1)


def tiles(root: Path, count: int, seed: int) -> Path:
    """``count`` 64x64 tiles of each photograph, in one folder per class."""
    rng = np.random.default_rng(seed)
    for label, name in CLASSES.items():
        photograph = getattr(skimage.data, name)()
        (root / label).mkdir(parents=True)
        for i in range(count):
            y, x = (int(rng.integers(side - 64)) for side in photograph.shape[:2])
            Image.fromarray(photograph[y : y + 64, x : x + 64]).save(root / label / f"{label}{seed}_{i}.png")
    return root


@pytest.fixture(scope="session")
def make_set(run):
    """``make_set(source, root, *options)``: distort pictures with the real command."""

    def make(source: Path, root: Path, *options: object) -> Path:
        columns = ["--distortions", "jpeg-10,j2k-75", "--crop", "none", "--workers", 1]
        made = run("distort", "run", source, root, *columns, *options)
        assert made.returncode == 0, made.stderr
        return root

    return make


@pytest.fixture(scope="session")
def train_source(once) -> Path:
    return once("train-source", lambda folder: tiles(folder, 40, 1))


@pytest.fixture(scope="session")
def train_set(train_source, make_set, once) -> Path:
    """119 samples (one picture is broken) in shards of 50, 50 and 19 or so. Read only."""

    def make(folder: Path) -> None:
        source = shutil.copytree(train_source, folder / "source")
        (source / "cat" / "cat1_3.png").write_bytes(b"not a picture")
        make_set(source, folder / "train", "--shard-size", 50, "--max-bad", 1)

    return once("train-set", make) / "train"


@pytest.fixture(scope="session")
def val_source(once) -> Path:
    return once("val-source", lambda folder: tiles(folder, 13, 2))


@pytest.fixture(scope="session")
def val_set(val_source, make_set, once) -> Path:
    """39 samples in shards of 16, 16 and 7. Read only."""
    return once("val-set", lambda folder: make_set(val_source, folder / "val", "--shard-size", 16)) / "val"


@pytest.fixture(scope="session")
def make_tiles():
    return tiles


@pytest.fixture
def copied(tmp_path):
    """A copy of a dataset, to be damaged."""
    return lambda root: shutil.copytree(root, tmp_path / f"copy-of-{root.name}")


@pytest.fixture(scope="session")
def weights(train_set, val_set, once) -> Path:
    """Weights that two epochs on the clean crops gave: a small "pre-trained" network."""

    def make(folder: Path) -> None:
        result = invoke(
            "finetune", train_set, "--val", val_set, "--column", "clean", "--arch", ARCH, "--weights", "none",
            "--epochs", 2, "--batch", 16, "--holdout", 0.1, "--workers", 0, "--test-columns", "none",
            "--out", folder / "scratch",
        )  # fmt: skip
        assert result.exit_code == 0, result.output

    return once("weights", make) / "scratch" / "last.safetensors"


def invoke(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def cli():
    """Run ``train`` in this process; the result has ``exit_code``, ``output`` (both streams)."""
    return invoke


@pytest.fixture
def training(train_set, val_set, weights, tmp_path):
    """``training(objective, *options)`` -> arguments of a short training into ``tmp_path / out``."""

    def arguments(
        objective: str, *options: object, out: str = "run", train: Path = train_set, val: Path = val_set
    ):
        return [
            objective, train, "--val", val, "--column", "clean" if objective == "stability" else "jpeg-10",
            "--arch", ARCH, "--weights", weights, "--epochs", 1, "--batch", 16, "--holdout", 0.1, "--lr", 1e-3,
            "--shuffle", 20, "--workers", 0, "--test-columns", "none", "--out", tmp_path / out, *options,
        ]  # fmt: skip

    return arguments


@pytest.fixture(scope="session")
def start(server, tmp_path_factory):
    """Start the command ``train``, also on several ranks with the environment of torchrun; the process.

    It runs in a folder that has a ``train.py`` of its own, as many a user's folder does. ``torchrun`` starts the
    installed program, Python and all.
    """
    folder = tmp_path_factory.mktemp("of-a-user")
    (folder / "train.py").write_text("raise SystemExit('another train.py')")

    def start(*arguments: object, ranks: int = 1, torchrun: bool = False) -> Process:
        if not torchrun:
            return server.start("train", *map(str, arguments), cwd=folder, ranks=environments(ranks))
        launch = ["python", "-c", "from torch.distributed.run import main; main()", "--standalone", "--no-python"]
        program = Path(sys.executable).parent / "train"
        return server.start(*launch, f"--nproc-per-node={ranks}", *map(str, (program, *arguments)), cwd=folder)

    return start


def environments(ranks: int) -> list[dict[str, str]]:
    """What torchrun adds to the environment of each rank."""
    if ranks == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


@pytest.fixture(scope="session")
def read_json():
    return lambda path: json.loads(Path(path).read_text())


@pytest.fixture(scope="session")
def state_of():
    """Name -> tensor of a weights file."""
    return lambda file: models.read_weights(file)[0]
