"""WebDataset tars as a source: pictures are read from the tars by offset."""

from __future__ import annotations

import os
import tarfile

from distort.places import Disk, Remote
from distort.sources.listing import MEMBER, Picture, Pictures, SourceError, is_picture, missing

LABEL_BYTES = 4096  #: longer .cls members are refused


def list_tars(root: Disk | Remote, tars: list[str]) -> Pictures:
    """One picture per WebDataset sample, labelled by its ``.cls`` member. Raises SourceError."""
    pictures = Pictures(picture for name in tars for picture in _members(root, name))
    if not pictures:
        raise SourceError(f"no pictures in {', '.join(f'{root.root}/{name}' for name in tars[:3])}")
    return pictures


def _members(root: Disk | Remote, name: str) -> list[Picture]:
    path = f"{root.root}/{name}"
    found: dict[str, Picture] = {}
    labels: dict[str, int] = {}
    try:
        # "r:" refuses compressed tars, which cannot be read by offset.
        with root.open(name) as file, tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            for member in tar:
                if member.size < 0:
                    raise SourceError(f"{path} is damaged: member {member.name} has {member.size} bytes")
                folder, base = os.path.split(member.name)
                key = os.path.join(folder, base.partition(".")[0])
                if not member.isfile():
                    continue
                if member.issparse():
                    raise SourceError(
                        f"{path}: {member.name} is a sparse file, which cannot be read by offset; make the tar "
                        "without --sparse"
                    )
                if member.name.endswith(".cls"):
                    labels[key] = _label(tar, member)
                elif is_picture(base):
                    if key in found:
                        raise SourceError(f"{path}: sample '{key}' has several pictures, one is {base}")
                    shown = member.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                    found[key] = Picture(f"{name}{MEMBER}{shown}", None, member.offset_data, member.size)
    except FileNotFoundError:
        raise missing(path) from None
    except SourceError:
        raise
    except (tarfile.TarError, ValueError, ArithmeticError, LookupError, MemoryError, RecursionError) as error:
        reason = str(error) or type(error).__name__  # MemoryError: tarfile reads as much as the header says
        raise SourceError(f"{path} is damaged or not an uncompressed tar: {reason}") from None
    except OSError as error:
        if root.remote:
            raise
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from None
    return [Picture(p.source, labels.get(key), p.offset, p.size) for key, p in found.items()]


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo) -> int:
    if member.size > LABEL_BYTES:
        raise ValueError(f"{member.name} has {member.size} bytes, but a label is a number")
    file = tar.extractfile(member)
    text = file.read() if file else b""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{member.name} is {text[:40]!r}, not a number") from None
