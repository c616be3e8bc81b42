"""Lists of pictures, and the lists of labels that data sets come with."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterator

from distort.places import Disk, Remote
from distort.sources.listing import Picture, SourceError, is_picture, missing

HEADERS = {"path", "file", "filename", "file_name", "image", "name"}
KAGGLE = ["ImageId", "PredictionString"]
USE_LABELS = "give the folder of the pictures as SOURCE, and this file with --labels"


def read_list(root: Disk | Remote, name: str) -> list[Picture]:
    """Pictures from lines of ``path`` or ``path,label``, separated by a comma, tab or space.

    Paths are relative to the list's own folder. Raises SourceError, which names the line.
    """
    pictures: list[Picture] = []
    path = f"{root.root}/{name}"
    for number, fields in rows(root, name):
        if fields == KAGGLE:
            raise SourceError(f"{path} labels Kaggle's ImageNet: {USE_LABELS}")
        if not pictures and fields[0].lower() in HEADERS:
            continue
        if len(fields) > 2 or not fields[0]:
            raise SourceError(
                f"{path}, line {number}: expected 'path' or 'path,label', got {','.join(fields)[:200]}"
            )
        if len(fields) == 1 and fields[0].isdecimal():
            raise SourceError(
                f"{path}, line {number}: '{fields[0]}' is no path. For a list of labels {USE_LABELS}"
            )
        pictures.append(Picture(fields[0], fields[1] if len(fields) == 2 else None))
        if (pictures[0].label is None) != (pictures[-1].label is None):
            raise SourceError(f"{path}, line {number}: either every line has a label or none")
    if not pictures:
        raise SourceError(f"{path} lists no pictures")
    if len({posixpath.normpath(p.source) for p in pictures}) < len({p.source for p in pictures}):
        raise SourceError(f"{path} lists a picture twice, written differently, as in a.jpg and ./a.jpg")
    return pictures


def rows(root: Disk | Remote, name: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of every line that is not blank. Raises SourceError."""
    path = f"{root.root}/{name}"
    try:
        with root.open(name) as file:
            text = file.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise missing(path) from None
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        if root.remote:
            raise
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, [field.strip() for field in _fields(line.strip("\r\n"))]
            except csv.Error as error:
                raise SourceError(f"{path}, line {number}: {error}: {line[:80]}") from None


def _fields(line: str) -> list[str]:
    """Each line stands for itself: a stray quote must not swallow those that follow."""
    if "\0" in line:
        raise csv.Error("holds a NUL")
    if '"' in line:
        return next(csv.reader([line], delimiter="\t" if "\t" in line else ",", strict=True))
    for separator in "\t,":
        if separator in line:
            return line.split(separator)
    name, _, label = line.strip().rpartition(" ")
    return [name, label] if is_picture(posixpath.basename(name.strip())) else [line]
