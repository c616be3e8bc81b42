"""The folder of one training: what was asked, where it ran, what was measured.

``config.json``, ``environment.json``, ``metrics.csv``, ``tensorboard/``, ``last.pt`` (to continue),
``best.safetensors`` and ``last.safetensors`` (weights), ``results.json`` (accuracy), ``finished`` (at the end).
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import platform
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from shards.atomic import write_atomically
from train.engine.checkpoint import LAST
from train.engine.checks import require_output
from train.networks.weights import save_weights

LIBRARIES = ("codecproof", "torch", "torchvision", "timm", "numpy", "pyarrow", "imagecodecs", "safetensors")
FINISHED = "finished"
LOCK = ".lock"


class RunFolder:
    """Read by all ranks, written by rank 0 only, and only while it is ``held``."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.last = self.path / LAST
        self._board: Any = None
        self._wandb: Any = None
        self._seen = self._stamp()

    def look(self, resume: bool, wandb: bool = False) -> bool:
        """Whether to continue a checkpoint. Writes nothing; raises ValueError when this folder cannot be used."""
        require_output(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file; --out names the folder of a run")
        if self._seen and not resume:
            raise ValueError(f"{self.path} holds a run; --resume continues it, or choose another --out")
        if not self._seen and (other := next(self.path.glob("*/config.json"), None)):
            raise ValueError(f"{self.path} holds another run, {other.parent.name}; choose another --out")
        if wandb and find_spec("wandb") is None:
            raise ValueError("--wandb needs its client: pip install wandb")
        return self._seen is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and lock it while the block runs. Raises ValueError when another training holds it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / LOCK).open("a+") as lock:
            try:
                # This kind of lock works between machines that share NFS, and data workers do not inherit it.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                lock.seek(0)
                who = lock.read().strip() or "another process"
                raise ValueError(
                    f"{self.path} is in use by another training ({who}): wait for it, or choose another --out"
                ) from None
            except OSError as error:
                print(
                    f"note: {self.path}: cannot be locked against a second training ({error.strerror})",
                    file=sys.stderr,
                )
            if self._stamp() != self._seen:
                raise ValueError(f"{self.path}: another training has just written a checkpoint; start again")
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            (self.path / FINISHED).unlink(missing_ok=True)
            try:
                yield
            finally:
                if self._board:
                    with suppress(OSError):  # a full disk: another message says so
                        self._board.close()

    def _stamp(self) -> tuple[int, int] | None:
        """Identifies the present checkpoint; None without one."""
        with suppress(FileNotFoundError, NotADirectoryError):
            found = self.last.stat()
            return found.st_ino, found.st_mtime_ns
        return None

    def write_json(self, name: str, contents: dict) -> None:
        text = json.dumps(contents, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.path / name, lambda path: path.write_text(text))

    def describe(self, config: dict, device: torch.device, world: int) -> None:
        """Record the settings, the machine and the versions."""
        self.write_json("config.json", config)
        self.write_json("environment.json", environment(device, world))

    def start_logging(self, wandb: bool, config: dict, history: list[dict]) -> None:
        """Open the sinks."""
        from torch.utils.tensorboard import SummaryWriter

        step = history[-1]["epoch"] + 1 if history else 0
        self._board = SummaryWriter(self.path / "tensorboard", purge_step=step or None)
        if wandb:
            import wandb as client

            self._wandb = client.init(dir=self.path, config=config, resume="allow", id=self._wandb_id())

    def _wandb_id(self) -> str:
        file = self.path / "wandb-id"
        if not file.exists():
            file.write_text(os.urandom(4).hex())
        return file.read_text()

    def log(self, history: list[dict]) -> None:
        """Write ``metrics.csv`` anew, and the last row to the other sinks."""
        names = list(dict.fromkeys(name for row in history for name in row))

        def write(path: Path) -> None:
            with path.open("w", newline="") as file:
                table = csv.DictWriter(file, names, lineterminator="\n")
                table.writeheader()
                table.writerows(history)

        write_atomically(self.path / "metrics.csv", write)
        row = history[-1]
        for name, value in row.items():
            if self._board and value is not None:
                self._board.add_scalar(name, value, row["epoch"])
        if self._board:
            self._board.flush()
        if self._wandb:
            self._wandb.log(row, step=row["epoch"])

    def save_weights(self, name: str, net: torch.nn.Module, meta: dict) -> None:
        write_atomically(self.path / name, lambda path: save_weights(net, path, meta))

    def finish(self) -> None:
        """Mark the run as finished."""
        if self._wandb:
            self._wandb.finish()
        (self.path / FINISHED).touch()


def environment(device: torch.device, world: int) -> dict:
    """What is needed to reproduce the numbers."""

    def find(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: found for name in LIBRARIES if (found := find(name))},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "ranks": world,
        "command": sys.argv,
    }
