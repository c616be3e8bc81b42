"""Lists of pictures, and reading the lines of label files."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator

import pyarrow.compute as pc

from distort.places import Disk, Remote
from distort.sources.listing import Picture, Pictures, SourceError, is_picture, missing

HEADERS = {"path", "file", "filename", "file_name", "image", "name"}
KAGGLE = ["ImageId", "PredictionString"]
USE_LABELS = "give the folder of the pictures as SOURCE, and this file with --labels"


def read_list(root: Disk | Remote, name: str) -> Pictures:
    """The pictures of a list with lines ``path`` or ``path,label``, separated by a comma, tab or space.

    Paths are relative to the list's folder. Raises SourceError, which names the line.
    """
    path = f"{root.root}/{name}"
    pictures = Pictures(_pictures(root, name))
    if not pictures:
        raise SourceError(f"{path} lists no pictures")
    sources = pictures.table["source"]
    if pc.any(pc.match_substring_regex(sources, r"(^|/)\.{1,2}(/|$)|//")).as_py():  # else every form is unique
        names = set(sources.to_pylist())
        if len({posixpath.normpath(name) for name in names}) < len(names):
            raise SourceError(f"{path} lists a picture twice, written differently, as in a.jpg and ./a.jpg")
    return pictures


def _pictures(root: Disk | Remote, name: str) -> Iterator[Picture]:
    path = f"{root.root}/{name}"
    width = 0  # fields of the first line
    for number, fields in rows(root, name):
        if fields == KAGGLE:
            raise SourceError(f"{path} labels Kaggle's ImageNet: {USE_LABELS}")
        if not width and fields[0].lower() in HEADERS:
            continue
        if len(fields) > 2 or not fields[0]:
            got = ",".join(fields)[:200]
            raise SourceError(f"{path}, line {number}: expected 'path' or 'path,label', got {got}")
        if (
            ";" in fields[0]
            and not is_picture(fields[0])
            and is_picture(posixpath.basename(fields[0].partition(";")[0]))
        ):
            raise SourceError(f"{path}, line {number}: put a comma or a tab instead of ';' before the label")
        if len(fields) == 1 and fields[0].isdecimal():
            raise SourceError(
                f"{path}, line {number}: '{fields[0]}' is not a path. For a list of labels, {USE_LABELS}"
            )
        width = width or len(fields)
        if len(fields) != width:
            raise SourceError(f"{path}, line {number}: either all lines have a label or none")
        yield Picture(fields[0], fields[1] if width == 2 else None)


def rows(root: Disk | Remote, name: str) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of every line that is not blank. Raises SourceError."""
    path, number = f"{root.root}/{name}", 0
    try:
        with root.open(name) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, [field.strip() for field in _fields(line.rstrip("\r\n"))]
    except FileNotFoundError:
        raise missing(path) from None
    except UnicodeDecodeError:
        raise SourceError(
            f"{path} is not UTF-8 text at or soon after line {number + 1}; save it as UTF-8"
        ) from None
    except csv.Error as error:
        raise SourceError(f"{path}, line {number}: {error}: {line[:80]}") from None
    except OSError as error:
        if root.remote:
            raise
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None


def _fields(line: str) -> list[str]:
    """The fields of one line. Lines are parsed one by one, so that a stray quote cannot swallow later lines."""
    if "\0" in line:
        raise csv.Error("contains a NUL byte")
    if '"' in line:
        return next(csv.reader([line], delimiter="\t" if "\t" in line else ",", strict=True))
    for separator in "\t,":
        if separator in line:
            return line.split(separator)
    name, _, label = line.strip().rpartition(" ")
    return [name, label] if is_picture(posixpath.basename(name.strip())) else [line]
