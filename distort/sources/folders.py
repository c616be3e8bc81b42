"""A folder as a source: one folder per class, pictures directly in it, or WebDataset tars."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow.compute as pc

from distort.places import Disk, Remote
from distort.sources.labels import number_labels, number_names
from distort.sources.listing import Listing, Picture, Pictures, SourceError, is_picture
from distort.sources.tars import list_tars

SPLITS = {"train", "val", "test"}
DATASET = "dataset.json"  #: a folder with this file is a dataset made by distort


def list_folder(root: Disk | Remote) -> Listing:
    """The pictures of a folder. Every folder in it that holds pictures, at any depth, is a class.

    Raises SourceError.
    """
    try:
        return _listing(root)
    except OSError as error:
        if root.remote:
            raise
        path = os.fsdecode(error.filename or root.root)
        odd = isinstance(error, FileNotFoundError) and "\\x" in path
        reason = "its name is not UTF-8; rename it" if odd else error.strerror or error
        raise SourceError(f"{path} cannot be listed: {reason}") from None


def _listing(root: Disk | Remote) -> Listing:
    files, folders = root.top()
    tars = [name for name in files if name.endswith(".tar")]
    flat = [name for name in files if is_picture(name)]
    if tars and not flat:
        return number_labels(root, list_tars(root, tars))
    if folders and SPLITS.issuperset(folders) and not flat:
        raise SourceError(f"{root.root} holds the splits {', '.join(folders)}: choose one, as in --split val")
    if flat and any(True for _ in _walk(root, folders)):
        raise SourceError(
            f"{root.root} has pictures both in itself and in its folders ({flat[0]}, {folders[0]}/): "
            "give a flat folder, one folder per class, or a list"
        )
    if flat:
        return Listing(root.root, Pictures(map(Picture, flat)), None)
    pictures = Pictures(Picture(source, source.partition("/")[0]) for source in _walk(root, folders))
    if not pictures and DATASET in files:
        raise SourceError(f"{root.root} is a dataset; 'distort add' adds columns to it")
    if not pictures:
        raise SourceError(f"no pictures in {root.root}: expected one folder per class, pictures, or .tar files")
    used = set(pc.unique(pictures.table["label"]).to_pylist())
    empty = [name for name in folders if name not in used]
    notes: tuple[str, ...] = (f"skipped folders without pictures: {_some(empty)}",) if empty else ()
    if all(map(str.isdecimal, used)) and sorted(used) != sorted(used, key=int):
        notes += (
            "the classes are numbers sorted as text, 10 before 2, as in torchvision; --classes changes the order",
        )
    return number_names(root, pictures, notes)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"{name}/" for name in names[:5]) + more


def _walk(root: Disk | Remote, folders: list[str]) -> Iterator[str]:
    """Names of the pictures below ``folders``, in a fixed order."""
    return (name for name in root.walk(folders) if is_picture(name.rpartition("/")[2]))
