"""Numbers for labels, and labels from a separate file."""

from __future__ import annotations

import posixpath
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from distort.places import Disk, Remote, place
from distort.sources.listing import MEMBER, Listing, Pictures, SourceError
from distort.sources.lists import HEADERS, KAGGLE, rows

MOST = 100_000  #: classes; larger labels are refused as mistakes


def number_labels(root: Disk | Remote, pictures: Pictures) -> Listing:
    """Number the labels: whole numbers stay as they are, names are numbered in sorted order.

    Raises SourceError when numbers and names are mixed, or when only some pictures have a label.
    """
    labels = set(pc.unique(pictures.table["label"]).to_pylist())
    if labels == {None}:
        return Listing(root.root, pictures, None)
    if None in labels:
        bare = pictures.table["source"].filter(pc.is_null(pictures.table["label"]))[0]
        raise SourceError(f"{bare} has no label, but others have: label all pictures or none")
    numeric = {label for label in labels if _is_number(label)}
    odd = labels - numeric
    if not numeric:
        return number_names(root, pictures)
    if odd:
        few, rest = (odd, "numbers") if len(odd) <= len(numeric) else (numeric, "names")
        label = min(few)
        raise SourceError(
            f"the label of {_first(pictures, label)} is '{label}', but the others are {rest}: correct it"
        )
    numbers = pictures.table["label"].cast(pa.int64())
    low, high = pc.min_max(numbers).as_py().values()
    if low < 0 or high >= MOST:
        label = low if low < 0 else high
        where = _first(pictures.labelled(numbers), label)
        raise SourceError(f"the label of {where} is {label}; class numbers are 0 to {MOST - 1}")
    notes = (f"labels run from {low} to {high}; networks count classes from 0",) if low > 0 else ()
    return Listing(root.root, pictures.labelled(numbers), tuple(map(str, range(high + 1))), notes)


def number_names(root: Disk | Remote, pictures: Pictures, notes: tuple[str, ...] = ()) -> Listing:
    """Number the labels in the sorted order of their names."""
    labels = pictures.table["label"]
    classes = sorted(pc.unique(labels).to_pylist())
    numbers = pc.index_in(labels, value_set=pa.array(classes, labels.type)).cast(pa.int64())
    return Listing(root.root, pictures.labelled(numbers), tuple(classes), notes)


def _is_number(label: str | int) -> bool:
    text = str(label)
    return text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 19


def _first(pictures: Pictures, label: str | int) -> str:
    return pictures.table["source"].filter(pc.equal(pictures.table["label"], label))[0].as_py()


def attach(listing: Listing, file: str) -> Listing:
    """``listing``, of a folder or tars without labels, with the labels in ``file``.

    The file holds ``name,label`` lines (comma, tab or space; the name with or without its extension), Kaggle's
    ``ImageId,PredictionString``, or one label per line for the pictures sorted by name (ImageNet's ground truth).
    Raises SourceError.
    """
    if listing.classes is not None:
        raise SourceError(f"{listing.name} already has labels; --labels is for a folder without class folders")
    folder, slash, name = file.rpartition("/")
    root = place(folder or slash or ".")
    lines = [fields for _, fields in rows(root, name)]
    if lines and lines[0] == KAGGLE:
        lines = [[fields[0], fields[-1].split()[0]] for fields in lines[1:] if fields[-1]]
    elif lines and len(lines[0]) == 2 and lines[0][0].lower() in HEADERS:
        del lines[0]
    widths = {len(fields) for fields in lines}
    if widths == {1}:
        lines = [part for (line,) in lines if (part := line.split())]
        widths = {len(fields) for fields in lines}
    if widths == {1}:
        labels = _by_order(listing, [label for (label,) in lines], file)
    elif widths == {2}:
        by_name = dict(lines)
        if clash := next((name for name, label in lines if by_name[name] != label), None):
            raise SourceError(f"{file} gives {clash} two labels")
        labels = _by_name(listing, by_name, file)
    else:
        raise SourceError(f"{file}: expected one label per line, or 'name,label' on every line")
    numbered = number_labels(place(listing.root), listing.pictures.labelled(pa.array(labels, pa.string())))
    return replace(numbered, notes=listing.notes + numbered.notes, file=listing.file)


def _by_order(listing: Listing, labels: list[str], file: str) -> list[str]:
    if len(labels) != len(listing.pictures):
        raise SourceError(
            f"{file} has {len(labels):,} labels, but {listing.name} has {len(listing.pictures):,} pictures"
        )
    rank = {source: i for i, source in enumerate(sorted(p.source for p in listing.pictures))}
    return [labels[rank[picture.source]] for picture in listing.pictures]


def _by_name(listing: Listing, labels: dict[str, str], file: str) -> list[str]:
    found = []
    for picture in listing.pictures:
        name = posixpath.basename(picture.source.partition(MEMBER)[2] or picture.source)
        label = labels.get(name, labels.get(posixpath.splitext(name)[0]))
        if not label:
            raise SourceError(f"{file} has no label for {name}")
        found.append(label)
    return found
