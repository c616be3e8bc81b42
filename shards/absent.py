"""Why there is no dataset at a place: what is there instead, and what may have been meant."""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from pathlib import Path

from shards.storage import Storage


def why(storage: Storage, file: str) -> str:
    """One line for a place without ``file``, the file that makes a folder a dataset.

    Only local folders are looked at; behind a url no further request is made.
    """
    start = f"no dataset at {storage.url}: "
    make = f"it has no {file}; 'distort run SOURCE {storage.url}' makes one"
    return start + (_here(Path(storage.root), storage.url, file) or make if storage.local else make)


def _here(place: Path, shown: str, file: str) -> str | None:
    """What is at ``place``, which the user called ``shown``; None: nothing that explains the mistake."""
    for folder in place.parents:
        if os.path.isfile(folder):
            return f"{_as_typed(folder, shown)} is a file, not a folder"
        if os.path.isfile(folder / file):
            return f"it is inside the dataset {_as_typed(folder, shown)}: give that"
    if os.path.lexists(place) and not place.is_dir():
        return "it is a file, and a dataset is a folder"
    names = _names(place)
    if near := [name for name in names if os.path.isfile(place / name / file)]:
        return f"but it holds datasets: did you mean {os.path.join(shown, near[0])}?"
    siblings = [name for name in _names(place.parent) if os.path.isfile(place.parent / name / file)]
    if near := difflib.get_close_matches(place.name, siblings, n=1):
        return f"did you mean {_as_typed(place.parent / near[0], shown)}?"
    if "column.json" in names:
        return "it is a column without its dataset; copy or mount the whole dataset"
    if "manifest.parquet" in names:
        return f"its {file} is missing; restore it, or make the dataset again in another folder"
    if "config.json" in names and "environment.json" in names:
        return "it is a run folder of train; give the dataset that it was trained on"
    if names:
        return f"it holds {names[0]} but no {file}; 'distort run SOURCE DATASET' makes one in a new folder"
    return None


def _as_typed(path: Path, shown: str) -> str:
    return str(path) if os.path.isabs(shown) or "://" in shown else os.path.relpath(path)


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return []
