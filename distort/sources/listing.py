"""What all kinds of sources come down to: pictures with labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from distort.pictures import FORMATS

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
    notes: tuple[str, ...] = ()  #: what a person should know before the work starts, one line each


def is_picture(name: str) -> bool:
    """Whether a file is one by its extension, and not hidden."""
    format = Image.registered_extensions().get(os.path.splitext(name)[1].lower())
    return format in FORMATS and not name.startswith(".")


def missing(source: str) -> SourceError:
    """What to raise for a source that is not there."""
    return SourceError(f"no such source: {source}")
