"""Sources of pictures: a folder per class, a flat folder, a list, or WebDataset tars."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from distort.pictures import BadPicture
from distort.places import Disk, Remote, open_place, place
from distort.sources.folders import list_folder
from distort.sources.labels import attach, number_labels
from distort.sources.listing import MEMBER, Listing, Picture, Pictures, SourceError, missing
from distort.sources.lists import read_list
from distort.sources.tars import list_tars

__all__ = [
    "MEMBER",
    "Listing",
    "Picture",
    "Pictures",
    "SourceError",
    "check_names",
    "list_pictures",
    "read",
    "root_of",
]

LISTS = {".csv", ".tsv", ".txt"}

#: Errors of a single file. All others are errors of the disk or the network and fail the shard.
ONE_FILE = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
    errno.ENXIO, errno.ENODEV, errno.EFBIG,
}  # fmt: skip


def list_pictures(source: str, split: str | None = None, labels: str | None = None) -> Listing:
    """List the pictures of ``source``, a path or a url. No picture is opened.

    ``labels``: a file with the labels of the pictures, see ``distort.sources.labels.attach``. Raises SourceError.
    """
    root, name = _locate(source, split)
    if name:
        pictures = list_tars(root, [name]) if name.endswith(".tar") else read_list(root, name)
        listing = replace(number_labels(root, pictures), file=f"{root.root}/{name}")
    elif root.exists():
        listing = list_folder(root)
    elif Path(root.root).exists():
        raise SourceError(f"{source} is neither a folder, nor a list (.csv, .tsv, .txt), nor a .tar of pictures")
    else:
        raise missing(root.root)
    return attach(listing, labels) if labels else listing


def root_of(source: str, split: str | None = None) -> str:
    """The folder to which the names in a listing of ``source`` are relative."""
    return _locate(source, split)[0].root


def check_names(source: str, split: str | None, sources: pa.ChunkedArray, offsets: pa.ChunkedArray) -> None:
    """Raise SourceError for a manifest that names files outside ``source``, because it may be crafted.

    ``sources`` and ``offsets`` are columns of the manifest. Files outside are allowed if the user's own list names
    them.
    """
    files = pc.if_else(pc.is_null(offsets), sources, pc.replace_substring_regex(sources, f"{MEMBER}.*", ""))
    outside = pc.match_substring_regex(files, r"^/|(^|/)\.\.(/|$)|://")
    if not pc.any(outside).as_py():
        return
    root, name = _locate(source, split)
    listed: set[str] = set()
    if name and not name.endswith(".tar"):
        listed.update(read_list(root, name).table["source"].to_pylist())
    strange = next((name for name in files.filter(outside).to_pylist() if name not in listed), None)
    if strange is not None:
        raise SourceError(
            f"the manifest names {strange}, which is outside {source}: it was planned from another source"
        )


def _locate(source: str, split: str | None) -> tuple[Disk | Remote, str | None]:
    """A folder and None; or, for a list or a tar, its folder and its name."""
    if not source.strip():
        raise SourceError("SOURCE is empty: give a folder, a list or tars of pictures")
    if split:
        source = f"{source.rstrip('/')}/{split}"
    if Path(source).suffix not in LISTS | {".tar"} or Path(source).is_dir():
        return open_place(source), None
    folder, slash, name = source.rpartition("/")
    return open_place(folder or slash or "."), name


def read(root: str, source: str, offset: int | None = None, size: int | None = None) -> bytes:
    """The bytes of one picture: a file, or ``size`` bytes at ``offset`` of a tar.

    Raises BadPicture when only this file cannot be read (missing, forbidden, a FIFO, …), and OSError when the
    whole source is gone or its disk fails. A failed read is tried again once.
    """
    try:
        return _read(root, source, offset, size)
    except OSError as error:
        if not _of_one_file(error):
            raise
    if not place(root).alive():
        raise OSError(f"the source {root} is gone")
    try:
        return _read(root, source, offset, size)
    except OSError as error:
        if not _of_one_file(error):
            raise
        if isinstance(error, FileNotFoundError) and re.search(r"\\x[89a-f]", source):
            raise BadPicture("the file's name is not UTF-8; rename the file") from None
        raise BadPicture(error.strerror or os.strerror(errno.ENOENT)) from None


def _of_one_file(error: OSError) -> bool:
    return error.errno in ONE_FILE or isinstance(error, FileNotFoundError)  # object stores set no errno


def _read(root: str, source: str, offset: int | None, size: int | None) -> bytes:
    if "\0" in source:
        raise BadPicture("no file can have this name: it contains a NUL byte")
    if offset is None:
        return place(root).read(source)
    if offset < 0 or size is None or size < 0:
        raise BadPicture(f"a tar has no member of {size} bytes at offset {offset}")
    data = place(root).read(source.partition(MEMBER)[0], offset, size)
    if len(data) < size:
        raise BadPicture(f"the tar is truncated: {size - len(data)} bytes of the picture are missing")
    return data
