"""Where pictures come from: a tree with a folder per class, a flat folder, a list, or WebDataset tars."""

from __future__ import annotations

import csv
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from distort.pictures import FORMATS
from distort.places import Disk, Remote, place

LISTS = {".csv", ".txt"}
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
    """List what a SOURCE argument means, a path or a url. Nothing is decoded. Raises SourceError."""
    root, name = _locate(source, split)
    if name:
        return _labelled(root, _tar_members(root, [name]) if name.endswith(".tar") else _rows(root, name))
    if root.exists():
        return _folder(root)
    if Path(root.root).exists():
        raise SourceError(f"{source} is neither a folder, nor a list (.csv, .txt), nor a .tar of pictures")
    raise _missing(root.root)


def root_of(source: str, split: str | None = None) -> str:
    """What the names in a listing of ``source`` are relative to."""
    return _locate(source, split)[0].root


def _locate(source: str, split: str | None) -> tuple[Disk | Remote, str | None]:
    """A folder; or the folder of a list or tar, and its name."""
    if split:
        source = f"{source.rstrip('/')}/{split}"
    if Path(source).suffix not in LISTS | {".tar"} or Path(source).is_dir():
        return place(source), None
    folder, slash, name = source.rpartition("/")
    return place(folder or slash or "."), name


def _missing(source: str) -> SourceError:
    return SourceError(f"no such source: {source}")


def read(root: str, source: str, offset: int | None = None, size: int | None = None) -> bytes:
    """The bytes of one picture. Raises OSError."""
    return place(root).read(source if offset is None else source.partition(MEMBER)[0], offset, size)


def _folder(root: Disk | Remote) -> Listing:
    files, folders = root.top()
    tars = [name for name in files if name.endswith(".tar")]
    flat = [Picture(name) for name in files if _is_picture(name)]
    if tars and not flat:
        return _labelled(root, _tar_members(root, tars))
    if folders and SPLITS.issuperset(folders) and not flat:
        raise SourceError(
            f"{root.root} is a root with the splits {', '.join(folders)}: "
            "choose one with --split, as in --split val"
        )
    if flat and any(next(_walk(root, name), None) for name in folders):
        raise SourceError(
            f"{root.root} has pictures both beside and inside its folders ({flat[0].source}, {folders[0]}/): "
            "give a flat folder, one folder per class, or a list"
        )
    pictures = flat or [Picture(source, name) for name in folders for source in _walk(root, name)]
    if not pictures:
        raise SourceError(
            f"no pictures in {root.root}: expected one folder per class, pictures themselves, or .tar files"
        )
    if flat:
        return Listing(root.root, flat, None)
    number = {name: i for i, name in enumerate(folders)}
    return Listing(root.root, [Picture(p.source, number[p.label]) for p in pictures], tuple(folders))


def _walk(root: Disk | Remote, folder: str) -> Iterator[str]:
    """Pictures below a folder, in a fixed order."""
    return (name for name in root.walk(folder) if _is_picture(name.rpartition("/")[2]))


def _is_picture(name: str) -> bool:
    format = Image.registered_extensions().get(os.path.splitext(name)[1].lower())
    return format in FORMATS and not name.startswith(".")


def _rows(root: Disk | Remote, name: str) -> list[Picture]:
    """Lines of ``path`` or ``path,label``; paths relative to the list's own folder."""
    pictures = []
    path = f"{root.root}/{name}"
    try:
        with root.open(name) as file:
            lines = file.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise _missing(path) from None
    with io.StringIO(lines, newline="") as file:
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


def _tar_members(root: Disk | Remote, tars: list[str]) -> list[Picture]:
    """One picture per WebDataset sample, labelled by its ``.cls`` member."""
    pictures = []
    for name in tars:
        path = f"{root.root}/{name}"
        found: dict[str, Picture] = {}
        labels: dict[str, int] = {}
        try:
            with root.open(name) as file, tarfile.open(fileobj=file) as tar:
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
        except FileNotFoundError:
            raise _missing(path) from None
        except (tarfile.TarError, ValueError) as error:
            raise SourceError(f"{path} is not a sound tar of samples: {error}") from None
        pictures += [Picture(p.source, labels.get(key), p.offset, p.size) for key, p in found.items()]
    if not pictures:
        raise SourceError(f"no pictures in {', '.join(f'{root.root}/{name}' for name in tars[:3])}")
    return pictures


def _labelled(root: Disk | Remote, pictures: list[Picture]) -> Listing:
    """Numbers for labels: themselves when all are whole numbers, otherwise the order of their names."""
    labels = {p.label for p in pictures}
    if labels == {None}:
        return Listing(root.root, pictures, None)
    if None in labels:
        missing = next(p for p in pictures if p.label is None)
        raise SourceError(f"{missing.source} has no label, others have: label all of them or none")
    if all(str(label).isdecimal() for label in labels):
        classes = tuple(str(i) for i in range(max(map(int, labels)) + 1))
        number = {label: int(label) for label in labels}
    else:
        classes = tuple(sorted(labels))
        number = {name: i for i, name in enumerate(classes)}
    return Listing(root.root, [Picture(p.source, number[p.label], p.offset, p.size) for p in pictures], classes)
