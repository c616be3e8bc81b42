"""Checkpoints: written atomically, read with checks, and compared with the run that continues them."""

from __future__ import annotations

import pickle
import zipfile
import zlib
from pathlib import Path

import torch

from shards.atomic import write_atomically
from train.networks.weights import first_line

CHECKPOINT_SCHEMA = 2
LAST = "last.pt"


class CheckpointError(ValueError):
    """A run cannot be continued from this checkpoint; the message names the difference."""


def save(file: Path, contents: dict) -> None:
    """Save tensors and plain values; ``load`` accepts nothing else. Raises OSError when the disk is full."""

    def write(path: Path) -> None:
        try:
            with path.open("wb") as stream:
                torch.save({"schema": CHECKPOINT_SCHEMA, **contents}, stream)
        except RuntimeError as error:  # PyTorch's own words on top of what the file system said
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    write_atomically(file, write)


def load(file: Path) -> dict:
    """Raises CheckpointError when the file is damaged, of another schema, or would run code.

    Every byte that matters is checked: the file is a zip, with a CRC-32 of each tensor, which PyTorch ignores.
    """
    if not file.is_file():
        raise CheckpointError(f"no checkpoint at {file}")
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
        if damaged:
            raise CheckpointError(f"{file} is damaged: the checksum of {damaged} does not match")
        contents = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{file} is refused: it holds Python objects, and loading those could run code"
        ) from None
    except CheckpointError:
        raise
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{file} is damaged: {first_line(error)}") from None
    if not isinstance(contents, dict) or contents.get("schema") != CHECKPOINT_SCHEMA:
        raise CheckpointError(
            f"{file} is not a checkpoint of schema {CHECKPOINT_SCHEMA}: one of an older version can be evaluated, "
            "but only that version can resume it"
        )
    return contents


def require_same(file: Path, there: dict, now: dict) -> None:
    """Raise CheckpointError, which lists the differences, unless checkpoint and run have the same identity."""
    if differences := _differences(there, now):
        raise CheckpointError(
            f"{file} belongs to another run; use the settings of that run, or choose another --out:\n  "
            + "\n  ".join(differences)
        )


def _differences(there: dict, now: dict) -> list[str]:
    return [
        f"{name}: {there.get(name)} in the checkpoint, {now.get(name)} now"
        for name in sorted({*there, *now})
        if there.get(name) != now.get(name)
    ]
