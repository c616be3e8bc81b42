"""The folder of one training: what was asked, where it ran, what was measured.

``config.json``, ``environment.json``, ``metrics.csv``, ``tensorboard/``, ``last.pt`` (to continue),
``best.safetensors`` and ``last.safetensors`` (weights), ``results.json`` (accuracy), ``finished`` (at the end).
"""

from __future__ import annotations

import csv
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from shards.atomic import write_atomically
from train.engine.checkpoint import LAST
from train.networks.weights import save_weights

LIBRARIES = ("codecproof", "torch", "torchvision", "timm", "numpy", "pyarrow", "imagecodecs", "safetensors")
FINISHED = "finished"


class RunFolder:
    """Written by rank 0 only."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.last = self.path / LAST
        self._board = self._wandb = None

    def open(self, resume: bool) -> bool:
        """Make the folder; returns whether to continue its checkpoint. Raises ValueError when it is in use."""
        if self.last.exists():
            if not resume:
                raise ValueError(f"{self.path} holds a run; --resume continues it, or choose another --out")
            (self.path / FINISHED).unlink(missing_ok=True)
            return True
        self.path.mkdir(parents=True, exist_ok=True)
        return False

    def write_json(self, name: str, contents: dict) -> None:
        text = json.dumps(contents, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.path / name, lambda path: path.write_text(text))

    def describe(self, config: dict, device: torch.device, world: int) -> None:
        """Record the settings, the machine and the versions."""
        self.write_json("config.json", config)
        self.write_json("environment.json", environment(device, world))

    def start_logging(self, wandb: bool, config: dict, history: list[dict]) -> None:
        """Open the sinks. Raises ValueError when W&B is asked for and not installed."""
        from torch.utils.tensorboard import SummaryWriter

        step = history[-1]["epoch"] + 1 if history else 0
        self._board = SummaryWriter(self.path / "tensorboard", purge_step=step or None)
        if wandb:
            try:
                import wandb as client
            except ImportError:
                raise ValueError("--wandb needs its client: pip install wandb") from None
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

    def close(self, finished: bool) -> None:
        if self._board:
            self._board.close()
        if self._wandb:
            self._wandb.finish()
        if finished:
            (self.path / FINISHED).touch()


def environment(device: torch.device, world: int) -> dict:
    """What a reader needs to make the same numbers again."""

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
