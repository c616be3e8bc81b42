"""Pre-flight checks: what the source holds, and whether its pictures can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from distort import crops, isolated, pictures, sources
from distort.codecs import UnsupportedPicture
from distort.distortion import Distortion
from distort.pictures import BadPicture
from distort.sources import Listing, SourceError
from shards.plan import Plan

SAMPLE = 24  #: pictures to try
NEARLY_ALL = 0.9  #: a larger fraction of unreadable pictures stops a run, unless --max-bad allows it
HOPELESS = 100  #: bad pictures in a shard from which on a run may be stopped
NO_LABELS = (
    "no labels, which training and evaluation need: use --labels FILE (ImageNet's ground truth, "
    "Kaggle's LOC_val_solution.csv, or 'name,label' lines), or put the pictures into one folder per class"
)


def describe(listing: Listing) -> Iterator[str]:
    """Lines that say what a source holds: pictures, classes, and what is skipped."""
    count = len(listing.pictures)
    if listing.classes is None:
        yield f"{listing.root}: {count:,} pictures"
        yield NO_LABELS
    else:
        used = pc.count_distinct(listing.pictures.table["label"]).as_py()
        shown = listing.classes if len(listing.classes) <= 4 else (*listing.classes[:2], "…", listing.classes[-1])
        empty = len(listing.classes) - used
        without = f", {empty} of them without pictures" if empty else ""
        classes = "1 class" if len(listing.classes) == 1 else f"{len(listing.classes)} classes"
        yield f"{listing.root}: {count:,} pictures, {classes} ({', '.join(shown)}){without}"
        if len(listing.classes) == 1:
            yield "all pictures have the same label: is SOURCE the folder that holds the class folders?"
    yield from listing.notes


def sample(manifest: pa.Table, count: int = SAMPLE) -> list[dict]:
    """At most ``count`` rows, evenly spaced over a manifest."""
    step = -(-len(manifest) // count)
    return manifest.take(list(range(0, len(manifest), step))).to_pylist()


def refuse_unreadable(root: str, plan: Plan, rows: list[dict], max_bad: float) -> str:
    """Try to read some pictures and report how many cannot be read. Raises SourceError if nearly all cannot."""
    with ThreadPoolExecutor(8) as pool:  # reads concurrently from object stores; decoding uses one thread
        found = list(pool.map(lambda row: _read(root, row), rows))
    reasons = Counter(filter(None, isolated.each(partial(_fault, plan), list(zip(rows, found, strict=True)))))
    if not reasons:
        return f"{len(rows)} pictures tried: all can be read"
    common = "".join(f"\n  {count} x {reason}" for reason, count in reasons.most_common(3))
    said = f"{reasons.total()} of {len(rows)} pictures tried cannot be read:{common}"
    if reasons.total() > len(rows) * max(NEARLY_ALL, max_bad):
        raise SourceError(
            f"{root}: {said}\nNothing was written. Fix the cause, or use --max-bad 1 to continue anyway"
        )
    return said


def unreadable(root: str, plan: Plan, rows: list[dict], distortions: list[Distortion]) -> Iterator[str | None]:
    """For each manifest row: why its picture cannot be used, or None if it can."""
    for row in rows:
        yield from isolated.each(partial(_fault, plan, distortions=distortions), [(row, _read(root, row))])


def _read(root: str, row: dict) -> bytes | BadPicture:
    try:
        return sources.read(root, row["source"], row["offset"], row["size"])
    except BadPicture as error:
        return error


def _fault(
    plan: Plan, picture: tuple[dict, bytes | BadPicture], distortions: Sequence[Distortion] = ()
) -> str | None:
    row, data = picture
    if isinstance(data, BadPicture):
        return str(data)
    try:
        image = pictures.load(data, plan.settings["exif_orientation"])
        for _, crop in crops.parse(plan.settings["crop"]).apply(image, plan.settings["seed"], row["key"]):
            for distortion in distortions:
                distortion.check_size(crop.shape[1], crop.shape[0])
    except (BadPicture, UnsupportedPicture) as error:
        return str(error)
    return None


def hopeless(shard: int, done: int, errors: list[dict], max_bad: float) -> str | None:
    """The reason to stop a run: nearly all of the ``done`` pictures of a shard are bad. None: continue."""
    if len(errors) < HOPELESS or len(errors) <= done * max(NEARLY_ALL, max_bad):
        return None
    reason, count = Counter(error["reason"] for error in errors).most_common(1)[0]
    return (
        f"{len(errors)} of the first {done} pictures of shard {shard:06d} cannot be read, {count} of them: "
        f"{reason}. The shard was not written; fix the source, or use --max-bad 1 to continue anyway"
    )
