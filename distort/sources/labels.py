"""Labels: their numbers, and those that come in a file of their own."""

from __future__ import annotations

import posixpath

from distort.places import Disk, Remote, place
from distort.sources.listing import MEMBER, Listing, Picture, SourceError
from distort.sources.lists import HEADERS, KAGGLE, rows

MOST = 100_000  #: classes; a larger label is taken for a mistake


def number_labels(root: Disk | Remote, pictures: list[Picture]) -> Listing:
    """Numbers for labels: themselves when all are whole numbers, otherwise the order of their names.

    Raises SourceError when numbers and names are mixed.
    """
    labels = {p.label for p in pictures}
    if labels == {None}:
        return Listing(root.root, pictures, None)
    if None in labels:
        bare = next(p for p in pictures if p.label is None)
        raise SourceError(f"{bare.source} has no label, others have: label all of them or none")
    numeric = {label for label in labels if _is_number(label)}
    notes: tuple[str, ...] = ()
    if not numeric:
        classes = tuple(sorted(labels))
        number = {name: i for i, name in enumerate(classes)}
    elif odd := labels - numeric:
        name = min(odd) if len(odd) <= len(numeric) else min(numeric, key=str)
        where = next(p.source for p in pictures if p.label == name)
        raise SourceError(
            f"the label of {where} is '{name}', among labels that are {_kinds(odd, numeric)}: correct it"
        )
    else:
        number = {label: int(label) for label in labels}
        low, high = min(number.values()), max(number.values())
        if low < 0 or high >= MOST:
            label = low if low < 0 else high
            where = next(p.source for p in pictures if number[p.label] == label)
            raise SourceError(f"the label of {where} is {label}; numbers of classes are 0 to {MOST - 1}")
        classes = tuple(map(str, range(high + 1)))
        if low > 0:
            notes = (f"labels run from {low} to {high}; networks count their classes from 0",)
    return Listing(
        root.root, [Picture(p.source, number[p.label], p.offset, p.size) for p in pictures], classes, notes
    )


def _is_number(label: str | int) -> bool:
    text = str(label)
    return text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 20


def _kinds(odd: set, numeric: set) -> str:
    return "numbers" if len(odd) <= len(numeric) else "names"


def attach(listing: Listing, file: str) -> Listing:
    """``listing``, a folder or tar without labels, with those in ``file``.

    The file holds ``name,label`` lines (comma, tab or space; the name with or without its extension), Kaggle's
    ``ImageId,PredictionString``, or nothing but one label per line for the pictures in the order of their names
    (ImageNet's ground truth). Raises SourceError.
    """
    if listing.classes is not None:
        raise SourceError(f"{listing.root} has labels already; --labels is for a folder without class folders")
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
    labelled = [p._replace(label=label) for p, label in zip(listing.pictures, labels, strict=True)]
    numbered = number_labels(place(listing.root), labelled)
    return Listing(listing.root, numbered.pictures, numbered.classes, listing.notes + numbered.notes)


def _by_order(listing: Listing, labels: list[str], file: str) -> list[str]:
    if len(labels) != len(listing.pictures):
        raise SourceError(
            f"{file} labels {len(labels):,} pictures by their order, {listing.root} has {len(listing.pictures):,}"
        )
    order = sorted(range(len(labels)), key=lambda i: listing.pictures[i].source)
    place_of = {picture: rank for rank, picture in enumerate(order)}
    return [labels[place_of[i]] for i in range(len(labels))]


def _by_name(listing: Listing, labels: dict[str, str], file: str) -> list[str]:
    found = []
    for picture in listing.pictures:
        name = posixpath.basename(picture.source.partition(MEMBER)[2] or picture.source)
        label = labels.get(name, labels.get(posixpath.splitext(name)[0]))
        if not label:
            raise SourceError(f"{file} has no label for {name}")
        found.append(label)
    return found
