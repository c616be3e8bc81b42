"""Pre-flight checks: what the source holds, and whether its pictures can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from distort import crops, isolated, pictures, sources
from distort.codecs import UnsupportedPicture
from distort.distortion import Distortion
from distort.pictures import BadPicture
from distort.sources import Listing, SourceError
from shards.console import plural
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
        yield f"{listing.name}: {plural(count, 'picture')}"
        yield NO_LABELS
    else:
        used = pc.count_distinct(listing.pictures.table["label"]).as_py()
        shown = listing.classes if len(listing.classes) <= 4 else (*listing.classes[:2], "…", listing.classes[-1])
        empty = len(listing.classes) - used
        without = f", {empty} of them without pictures" if empty else ""
        classes = plural(len(listing.classes), "class", "classes")
        yield f"{listing.name}: {plural(count, 'picture')}, {classes} ({', '.join(shown)}){without}"
        if len(listing.classes) == 1:
            yield "all pictures have the same label: is SOURCE the folder that holds the class folders?"
    yield from listing.notes


def describe_crops(plan: Plan) -> Iterator[str]:
    """A line that says how many samples there will be, when pictures give several each."""
    if plan.crops > 1:
        yield f"{plural(plan.pictures, 'picture')} x {plan.crops:,} crops = {plan.pictures * plan.crops:,} samples"


def sample(manifest: pa.Table, count: int = SAMPLE) -> list[dict]:
    """At most ``count`` rows, evenly spaced over a manifest."""
    count = min(count, len(manifest))
    return manifest.take([i * len(manifest) // count for i in range(count)]).to_pylist()


def refuse_unreadable(listing: Listing, plan: Plan, rows: list[dict], max_bad: float) -> str:
    """Try to read some pictures and report how many cannot be read. Raises SourceError if nearly all cannot."""
    with ThreadPoolExecutor(8) as pool:  # reads concurrently from object stores; decoding uses one thread
        found = list(pool.map(lambda row: _read(listing.root, row), rows))
    reasons = list(isolated.each(partial(_fault, plan), list(zip(rows, found, strict=True))))
    counts = Counter(filter(None, reasons))
    tried = f"{plural(len(rows), 'picture')} tried"
    if not counts:
        return f"{tried}: all can be read"
    first = {reason: row["source"] for row, reason in zip(rows[::-1], reasons[::-1], strict=True)}
    common = "".join(f"\n  {count} x {why}, as {first[why]}" for why, count in counts.most_common(3))
    said = f"{counts.total()} of {tried} cannot be read:{common}"
    if counts.total() > len(rows) * max(NEARLY_ALL, max_bad):
        raise SourceError(
            f"{listing.name}: {said}\nNothing was written. Fix the cause, or use --max-bad 1 to continue anyway"
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
        crop_of = replace(crops.parse(plan.settings["crop"]), count=1)  # all crops of a picture have one size
        for _, crop in crop_of.apply(image, plan.settings["seed"], row["key"]):
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
