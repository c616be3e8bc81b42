"""From a listing to a plan: keys, order, shards. The same pictures give the same plan on every machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from distort.crops import Crop
from distort.sources import MEMBER, Listing, SourceError
from distort.sources.listing import BATCH
from shards.plan import MANIFEST_SCHEMA, Plan, manifest_hash

LARGEST_SHARD = 10**7  #: samples
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

    Pictures are sorted by sha256(seed, key): a random order that depends neither on the listing's order nor on any
    library. ``keep_order`` keeps the listing's order. ``limit`` takes the first pictures of the order.
    ``shard_size`` counts samples. Raises SourceError when a picture is listed twice, ValueError for a shard size
    below 1 or above ``LARGEST_SHARD``.
    """
    if not 1 <= shard_size <= LARGEST_SHARD:
        raise ValueError(f"shard size {shard_size}: use 1 to {LARGEST_SHARD:,} samples")
    table = listing.pictures.table
    keys = make_keys(table["source"])
    table = pa.table({"key": keys, **{name: table[name] for name in table.column_names}})
    if not keep_order:
        table = table.take(_order(keys, seed))
    manifest = _narrow(table.slice(0, None if limit is None else min(limit, len(table))))
    plan = Plan(
        settings={**settings, "crop": crop.name, "seed": seed, "shuffled": not keep_order},
        classes=listing.classes,
        pictures=len(manifest),
        per_shard=max(1, shard_size // crop.count),
        crops=crop.count,
        manifest=manifest_hash(manifest),
    )
    return plan, manifest


def _order(keys: pa.Array, seed: int) -> np.ndarray:
    """Row numbers, sorted by sha256(seed, key)."""
    prefix = f"{seed}\0".encode()

    def digests(length: int) -> bytes:
        return b"".join(hashlib.sha256(prefix + key.encode()).digest()[:length] for key in _values(keys))

    first = np.frombuffer(digests(8), ">u8")
    order = np.argsort(first, kind="stable")
    if (
        first[order[1:]] == first[order[:-1]]
    ).any():  # rarer than one in ten thousand plans of ten million pictures
        whole = digests(32)
        return np.array(sorted(range(len(keys)), key=lambda i: whole[32 * i : 32 * i + 32]))
    return order


def _values(array: pa.Array | pa.ChunkedArray) -> Iterator[str]:
    """The strings of an array, converted to Python objects in batches to save memory."""
    for start in range(0, len(array), BATCH):
        yield from array.slice(start, BATCH).to_pylist()


def _narrow(table: pa.Table) -> pa.Table:
    """A table in the manifest's schema. Its strings have 32-bit offsets, so it is converted in batches."""
    batches = table.to_batches(max_chunksize=BATCH)
    parts = [pa.Table.from_batches([batch]).cast(MANIFEST_SCHEMA) for batch in batches]
    return pa.concat_tables([MANIFEST_SCHEMA.empty_table(), *parts])


def make_keys(sources: pa.ChunkedArray) -> pa.Array:
    """A key per source: its file name without extension; characters other than ``[A-Za-z0-9_-]`` become ``_``.

    Eight hex digits of the source name's sha256 are appended to changed keys and to keys of several sources.
    Raises SourceError when a source is listed twice.
    """
    keys = pa.chunked_array([_stems(chunk) for chunk in sources.chunks], pa.large_string()).combine_chunks()
    again = _repeated(keys)
    if pc.any(again).as_py():
        pairs = zip(_values(keys.filter(again)), _values(sources.filter(again)), strict=True)
        keys = _replace(keys, again, (f"{stem}-{_digest(source)}" for stem, source in pairs))
        again = _repeated(keys)
    if pc.any(again).as_py():
        key = keys.filter(again)[0].as_py()
        first, second, *_ = sources.filter(pc.equal(keys, key)).to_pylist()
        raise SourceError(f"{first} and {second} would get the same key '{key}'; list every picture once")
    return keys


def _repeated(keys: pa.Array) -> pa.Array:
    """A boolean per key: whether it occurs more than once. Only keys with equal hashes are compared."""
    hashes = np.fromiter(map(hash, _values(keys)), np.int64, len(keys))
    order = np.argsort(hashes)
    same = hashes[order[1:]] == hashes[order[:-1]]
    again = np.zeros(len(keys), bool)
    again[order[1:][same]] = again[order[:-1][same]] = True
    if again.any():
        indices = keys.filter(pa.array(again)).dictionary_encode().indices.to_numpy()
        again[again] = np.bincount(indices)[indices] > 1
    return pa.array(again)


def _replace(array: pa.Array, mask: pa.Array, values: Iterable[str]) -> pa.Array:
    """``array`` with ``values``, in order, where ``mask`` is true."""
    return pc.replace_with_mask(array, mask, pa.array(list(values), array.type))


def _stems(sources: pa.Array) -> pa.Array:
    """``_stem`` of every source; plain names are handled by Arrow, all at once."""
    names = pc.replace_substring_regex(sources, rf"(?s)^.*?{MEMBER}(.+)$", r"\1")
    names = pc.replace_substring_regex(names, r"(?s)^.*/", "")
    stems = pc.replace_substring_regex(names, r"(?s)^(.+)\.[^.]*$", r"\1")
    odd = pc.invert(pc.match_substring_regex(stems, rf"^[A-Za-z0-9_-]{{1,{KEY_LENGTH}}}$"))
    return _replace(stems, odd, map(_stem, sources.filter(odd).to_pylist()))


def _stem(source: str) -> str:
    name = PurePosixPath(source.partition(MEMBER)[2] or source).name
    stem = name.rpartition(".")[0] or name
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", stem)
    if 0 < len(plain) <= KEY_LENGTH and plain == stem:
        return plain
    return f"{plain[: KEY_LENGTH - 9]}-{_digest(source)}"


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:8]
