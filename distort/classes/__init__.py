"""Class lists give classes fixed labels, whichever classes a folder holds.

With ImageNet's list of 1000 synset ids, a folder with ten of them keeps the labels of a 1000-class network.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from distort.places import place
from distort.sources import Listing, SourceError

#: Lists in this package. ImageNet-1k: the synset ids in the order of their labels, with their WordNet names (both
#: from timm).
BUILT_IN = {"imagenet": Path(__file__).with_name("imagenet.txt")}
SYNSET = re.compile(r"(n\d{8})\b\s*(.*)")


def read(name: str) -> tuple[str, ...]:
    """The classes of a built-in list or of a text file with one class, or a synset id and its names, per line.

    Raises SourceError for a missing or empty file, and for a class that is listed twice.
    """
    file = str(BUILT_IN.get(name, name))
    folder, _, base = os.path.abspath(file).rpartition("/")
    try:
        with place(folder).open(base) as stream:
            lines = stream.read().decode("utf-8-sig").splitlines()
    except OSError as error:
        near = f"; did you mean {like[0]}?" if (like := difflib.get_close_matches(name, BUILT_IN, n=1)) else ""
        reason = f"{error.strerror or error}; use imagenet, or a text file with one class per line"
        raise SourceError(f"--classes {name}: {reason}{near}") from None
    except UnicodeDecodeError:
        raise SourceError(f"--classes {name}: the file is not UTF-8 text; save it as UTF-8") from None
    classes = [found[1] if (found := SYNSET.match(line)) else line.strip() for line in lines if line.strip()]
    if not classes:
        raise SourceError(f"--classes {name}: the file lists no classes")
    twice = [each for each, count in Counter(classes).items() if count > 1]
    if twice:
        raise SourceError(f"--classes {name}: '{twice[0]}' is listed twice; every class has one label")
    return tuple(classes)


def relabel(listing: Listing, classes: tuple[str, ...]) -> Listing:
    """The same pictures, labelled with the index of their class in ``classes``.

    Raises SourceError when the source has no labels, or a class that is not in the list.
    """
    if listing.classes is None:
        raise SourceError(f"{listing.root} has no labels: --classes needs class folders, or a list with labels")
    if listing.classes == tuple(map(str, range(len(listing.classes)))):  # the classes are label numbers
        if len(listing.classes) > len(classes):
            raise SourceError(
                f"{listing.root} has label {len(listing.classes) - 1}; the class list ends at {len(classes) - 1}"
            )
        return replace(listing, classes=classes)
    label = {name: i for i, name in enumerate(classes)}
    for name in listing.classes:
        if name not in label:
            near = _nearest(name, classes)
            some = ", ".join(classes[:3]) + ", …" * (len(classes) > 3)
            hint = f"the nearest is '{near}'" if near else f"they are {some}"
            raise SourceError(f"{listing.name}: class '{name}' is not among the {len(classes)} classes; {hint}")
    labels = pa.array([label[name] for name in listing.classes], pa.int64())
    return replace(
        listing, pictures=listing.pictures.labelled(labels.take(listing.pictures.table["label"])), classes=classes
    )


def _nearest(name: str, classes: tuple[str, ...]) -> str | None:
    """The class that ``name`` probably means: the synset with that WordNet name, or a similar class, if any."""
    called = {}
    if not SYNSET.match(name):
        lines = BUILT_IN["imagenet"].read_text(encoding="utf-8").splitlines()
        pairs = (line.split(" ", 1) for line in lines)
        called = {
            title.lower(): synset for synset, names in pairs for title in names.split(", ") if synset in classes
        }
    plain = name.lower().replace("_", " ")
    near = difflib.get_close_matches(plain, called, n=1, cutoff=0.8)
    if near:
        return called[near[0]]
    return next(iter(difflib.get_close_matches(name, classes, n=1)), None)
