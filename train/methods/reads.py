"""The columns and scores that a method reads of every sample."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from shards.console import names

CLEAN = "clean"


@dataclass(frozen=True)
class Mixture:
    """One of several columns, drawn for every sample: ``batch.images[name]`` holds pictures of all of them.

    The draw depends on seed, epoch and key alone, so a resumed run and another number of workers draw the same.
    """

    columns: tuple[str, ...]
    name: str = "mixture"  #: in ``batch.images``; ``batch.drawn[name]`` says which column each picture is of
    online: bool = False  #: the columns are distortions, computed from the clean crops while reading

    def draw(self, seed: int, epoch: int, key: str) -> int:
        """Index of the column drawn for the sample ``key``; all are equally likely."""
        digest = hashlib.sha256(f"{seed} {epoch} {self.name} {key}".encode()).digest()
        return int.from_bytes(digest[:8], "little") % len(self.columns)

    @property
    def stored(self) -> tuple[str, ...]:
        """For each of ``columns`` the column that is read."""
        return (CLEAN,) * len(self.columns) if self.online else self.columns

    def judged(self) -> Mixture:
        """What selection reads instead of this; it is the same in every epoch."""
        return self

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Reads:
    """The pictures of a batch, and whether it holds the frozen starting network's scores of the clean crops.

    ``teacher`` is None, or the source of these scores (``batch.teacher``): computed (``live``), read from a cache
    (``cached``), or read from a cache if there is one (``auto``).
    """

    pictures: tuple[str | Mixture, ...]
    teacher: Literal["auto", "live", "cached"] | None = None
    headers: bool = False  #: whether ``batch.headers`` holds the bitstreams' headers

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that may be read, each once."""
        found = [name for part in self.pictures for name in (part.stored if isinstance(part, Mixture) else [part])]
        return tuple(dict.fromkeys(found))


def listed(columns: str, where: str = "--columns") -> tuple[str, ...]:
    """The names in a comma-separated list. Raises ValueError when there is none, one is empty or there twice.

    ``where`` is what the error calls the list.
    """
    if not columns.strip(", "):
        raise ValueError(f"{where} names no column, as in jpeg-10,jpeg-5")
    return tuple(names(columns, where))
