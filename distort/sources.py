"""Where pictures come from: a tree with a folder per class, a flat folder, a list, or WebDataset tars."""

from __future__ import annotations

import csv
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from distort.pictures import FORMATS

SPLITS = {"train", "val", "test"}
MEMBER = "::"  #: between a tar and its member in the name of a source


class SourceError(ValueError):
    """The source of pictures cannot be used; the message says what was expected."""


class Picture(NamedTuple):
    """One picture as the source names it: relative to its root, labelled by a class name or number."""

    source: str
    label: str | int | None = None
    offset: int | None = None  #: place of a tar member
    size: int | None = None


@dataclass(frozen=True)
class Listing:
    """All pictures of a source, and the names of its classes when it has any."""

    root: str
    pictures: list[Picture]
    classes: tuple[str, ...] | None


def list_pictures(source: str, split: str | None = None) -> Listing:
    """List what a SOURCE argument means. Nothing is decoded. Raises SourceError."""
    path = Path(source)
    if split:
        path = path / split
    if not path.exists():
        raise SourceError(f"no such source: {path}")
    if path.is_file():
        if path.suffix == ".tar":
            return _labelled(path.parent, _tar_members(path.parent, [path]))
        if path.suffix in (".csv", ".txt"):
            return _labelled(path.parent, _rows(path))
        raise SourceError(f"{path} is neither a folder, nor a list (.csv, .txt), nor a .tar of pictures")
    return _folder(path)


def read(root: str, source: str, offset: int | None = None, size: int | None = None) -> bytes:
    """The bytes of one picture. Raises OSError."""
    if offset is None:
        return Path(root, source).read_bytes()
    with open(Path(root, source.partition(MEMBER)[0]), "rb") as tar:
        tar.seek(offset)
        return tar.read(size)


def _folder(root: Path) -> Listing:
    with os.scandir(root) as scan:
        entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda e: e.name)
    folders = [entry.name for entry in entries if entry.is_dir()]
    tars = [root / entry.name for entry in entries if entry.name.endswith(".tar")]
    flat = [Picture(entry.name) for entry in entries if not entry.is_dir() and _is_picture(entry.name)]
    if tars and not flat:
        return _labelled(root, _tar_members(root, tars))
    if folders and SPLITS.issuperset(folders) and not flat:
        raise SourceError(
            f"{root} is a root with the splits {', '.join(folders)}: choose one with --split, as in --split val"
        )
    if flat and any(next(_walk(root, name), None) for name in folders):
        raise SourceError(
            f"{root} has pictures both beside and inside its folders ({flat[0].source}, {folders[0]}/): "
            "give a flat folder, one folder per class, or a list"
        )
    pictures = flat or [Picture(source, name) for name in folders for source in _walk(root, name)]
    if not pictures:
        raise SourceError(
            f"no pictures in {root}: expected one folder per class, pictures themselves, or .tar files"
        )
    if flat:
        return Listing(str(root), flat, None)
    number = {name: i for i, name in enumerate(folders)}
    return Listing(str(root), [Picture(p.source, number[p.label]) for p in pictures], tuple(folders))


def _walk(root: Path, folder: str) -> Iterator[str]:
    """Pictures below ``root/folder``, relative to root, in a fixed order."""
    for here, folders, files in os.walk(root / folder, followlinks=True):
        folders.sort()
        relative = os.path.relpath(here, root)
        yield from (f"{relative}/{name}" for name in sorted(files) if _is_picture(name))


def _is_picture(name: str) -> bool:
    format = Image.registered_extensions().get(os.path.splitext(name)[1].lower())
    return format in FORMATS and not name.startswith(".")


def _rows(path: Path) -> list[Picture]:
    """Lines of ``path`` or ``path,label``; paths relative to the list's own folder."""
    pictures = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.reader(file), 1):
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            if number == 1 and fields in (["path"], ["path", "label"]):
                continue
            if len(fields) > 2 or not fields[0]:
                raise SourceError(f"{path}, line {number}: expected 'path' or 'path,label', got {row}")
            pictures.append(Picture(fields[0], fields[1] if len(fields) == 2 else None))
            if (pictures[0].label is None) != (pictures[-1].label is None):
                raise SourceError(f"{path}, line {number}: either every line has a label or none")
    if not pictures:
        raise SourceError(f"{path} lists no pictures")
    return pictures


def _tar_members(root: Path, tars: list[Path]) -> list[Picture]:
    """One picture per WebDataset sample, labelled by its ``.cls`` member."""
    pictures = []
    for path in tars:
        name = path.relative_to(root).as_posix()
        found: dict[str, Picture] = {}
        labels: dict[str, int] = {}
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    folder, base = os.path.split(member.name)
                    key = os.path.join(folder, base.partition(".")[0])
                    if not member.isfile():
                        continue
                    if member.name.endswith(".cls"):
                        labels[key] = int(tar.extractfile(member).read())
                    elif _is_picture(base):
                        if key in found:
                            raise SourceError(
                                f"{path}: sample '{key}' holds several pictures, {base} is one of them"
                            )
                        found[key] = Picture(f"{name}{MEMBER}{member.name}", None, member.offset_data, member.size)
        except (tarfile.TarError, ValueError) as error:
            raise SourceError(f"{path} is not a sound tar of samples: {error}") from None
        pictures += [Picture(p.source, labels.get(key), p.offset, p.size) for key, p in found.items()]
    if not pictures:
        raise SourceError(f"no pictures in {', '.join(map(str, tars[:3]))}")
    return pictures


def _labelled(root: Path, pictures: list[Picture]) -> Listing:
    """Numbers for labels: themselves when all are whole numbers, otherwise the order of their names."""
    labels = {p.label for p in pictures}
    if labels == {None}:
        return Listing(str(root), pictures, None)
    if None in labels:
        missing = next(p for p in pictures if p.label is None)
        raise SourceError(f"{missing.source} has no label, others have: label all of them or none")
    if all(str(label).isdecimal() for label in labels):
        classes = tuple(str(i) for i in range(max(map(int, labels)) + 1))
        number = {label: int(label) for label in labels}
    else:
        classes = tuple(sorted(labels))
        number = {name: i for i, name in enumerate(classes)}
    return Listing(str(root), [Picture(p.source, number[p.label], p.offset, p.size) for p in pictures], classes)
