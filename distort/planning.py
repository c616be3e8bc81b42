"""From a listing to a plan: keys, order, shards. The same pictures give the same plan on every machine."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import PurePosixPath

import pyarrow as pa

from distort.crops import Crop
from distort.sources import MEMBER, Listing, SourceError
from shards.plan import MANIFEST_SCHEMA, Plan, manifest_hash

KEY_LENGTH = 72  # leaves room for a crop number and an extension in the 100 bytes of a USTAR name


def make_plan(
    listing: Listing,
    crop: Crop,
    *,
    settings: dict,
    seed: int = 0,
    shard_size: int = 1000,
    keep_order: bool = False,
    limit: int | None = None,
) -> tuple[Plan, pa.Table]:
    """The plan of a dataset and its manifest.

    The order is that of sha256(seed, key): random, and independent of the listing's order and of any library.
    ``limit`` takes the first pictures of that order. Raises SourceError when a picture is listed twice.
    """
    sources = [picture.source for picture in listing.pictures]
    keys = make_keys(sources)
    order = range(len(keys))
    if not keep_order:
        order = sorted(order, key=lambda i: hashlib.sha256(f"{seed}\0{keys[i]}".encode()).digest())
    order = order[:limit]
    rows = [listing.pictures[i] for i in order]
    manifest = pa.Table.from_arrays(
        [
            pa.array([keys[i] for i in order], pa.string()),
            pa.array([row.source for row in rows], pa.string()),
            *(pa.array([getattr(row, name) for row in rows], pa.int64()) for name in ("label", "offset", "size")),
        ],
        schema=MANIFEST_SCHEMA,
    )
    plan = Plan(
        settings={**settings, "crop": crop.name, "seed": seed, "shuffled": not keep_order},
        classes=listing.classes,
        pictures=len(rows),
        per_shard=max(1, shard_size // crop.count),
        crops=crop.count,
        manifest=manifest_hash(manifest),
    )
    return plan, manifest


def make_keys(sources: list[str]) -> list[str]:
    """A key per source: its file name without extension, ASCII letters, digits, ``_`` and ``-`` only.

    Where two sources would share a key, each gets eight hex digits of its name's sha256 added.
    """
    stems = [_stem(source) for source in sources]
    uses = Counter(stems)
    keys = [
        stem if uses[stem] == 1 else f"{stem}-{_digest(source)}"
        for stem, source in zip(stems, sources, strict=True)
    ]
    if len(set(keys)) < len(keys):
        key = Counter(keys).most_common(1)[0][0]
        first, second, *_ = (source for source, k in zip(sources, keys, strict=True) if k == key)
        raise SourceError(f"{first} and {second} would have the same key '{key}'; list every picture once")
    return keys


def _stem(source: str) -> str:
    name = PurePosixPath(source.partition(MEMBER)[2] or source).name
    stem = name.rpartition(".")[0] or name
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", stem)
    if plain == stem and len(plain) <= KEY_LENGTH:
        return plain
    return f"{plain[: KEY_LENGTH - 9]}-{_digest(source)}"


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:8]
