"""The picture browser: the worst pictures of each column, and those that two methods answer differently.

The pictures are lossless files beside the page, with one script per column that lists them. The page loads both
on demand, so it opens at once and needs no server.
"""

from __future__ import annotations

import io
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from distort import codecs
from report import artifacts, groups
from report.accuracy import cells
from report.answers import Answers
from report.behaviour import class_name
from report.contents import Contents
from report.groups import RunGroup
from report.page import script_json
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import column_folder
from shards.results import read_samples

FOLDER = "pictures"
Lists = Sequence[tuple[str, list[str]]]  #: titles with keys


@dataclass(frozen=True)
class Browser:
    """The browser's choices on the page: ``columns`` are (script, dataset, column)."""

    columns: list[tuple[str, str, str]]
    files: dict[str, bytes]


def browser(contents: Contents, count: int) -> Browser:
    """Up to ``count`` pictures per list and column, of every dataset. 0: none."""
    columns: list[tuple[str, str, str]] = []
    files: dict[str, bytes] = {}
    for label, dataset in contents.datasets.items() if count else ():
        stored = StoredPictures(dataset, f"{len(columns)}")
        for name in (name for name in dataset.columns if name != "clean" and dataset.committed(name)):
            lists = [(title, keys) for title, keys in lists_of(contents, label, name, count) if keys]
            try:
                text = _script(contents, label, name, lists, stored)
            except DatasetError:  # its codec is not installed here
                continue
            script = f"{FOLDER}/{stored.prefix}-{column_folder(name)}.js"
            files[script] = text.encode()
            columns.append((script, label, name))
        files |= stored.files
    return Browser(columns, files)


def lists_of(contents: Contents, label: str, column: str, count: int) -> Iterator[tuple[str, list[str]]]:
    """Titles with keys: the lowest PSNR, then the pictures that a model or its baseline gets right more often."""
    dataset = contents.datasets[label]
    table = dataset.table(column, ["key", "psnr"])
    psnr = table["psnr"].fill_null(math.inf).to_numpy()
    yield "Lowest PSNR", [table["key"][int(i)].as_py() for i in np.argsort(psnr, kind="stable")[:count]]
    found = groups.baselines(contents.groups)
    for group in contents.groups:
        base = found[id(group)].group if id(group) in found else None
        if base is None or group.trained_on != column:
            continue
        ours, theirs = (_right(part, label, column, contents.answers) for part in (group, base))
        if ours is None or theirs is None:
            continue
        keys, difference = contents.answers.keys(dataset.plan.hash), np.nan_to_num(ours - theirs)
        for sign, better, worse in ((1, group, base), (-1, base, group)):
            order = np.argsort(-sign * difference, kind="stable")[:count]
            title = f"{group.arch}: {better.label} right, {worse.label} wrong"
            yield title, [keys[i] for i in order if sign * difference[i] > 0]


def _right(group: RunGroup, dataset: str, column: str, answers: Answers) -> np.ndarray | None:
    """How often each picture was answered right, over the seeds."""
    matrix = answers.matrix(dict(cells(group)).get((dataset, column), []))
    return None if matrix is None else matrix.mean(0)


class StoredPictures:
    """Pictures of one dataset as lossless WebP files, each decoded once."""

    def __init__(self, dataset: Dataset, prefix: str):
        self.dataset, self.prefix = dataset, prefix
        self.files: dict[str, bytes] = {}
        self._decoders: dict[str, codecs.ColumnDecoder] = {}
        self._shards: dict[str, int] = {}

    def name(self, column: str, key: str) -> str:
        """The picture's file, made if it is not there. Raises DatasetError when nothing here decodes it."""
        file = f"{FOLDER}/{self.prefix}-{column_folder(column)}-{key}.webp"
        if file not in self.files:
            if column not in self._decoders:
                self._decoders[column] = codecs.decoder(self.dataset.column(column))
            rgb = artifacts.picture(self.dataset, column, self._shard(key), key, self._decoders[column])
            buffer = io.BytesIO()
            Image.fromarray(rgb).save(buffer, "webp", lossless=True, method=0)
            self.files[file] = buffer.getvalue()
        return file

    def _shard(self, key: str) -> int:
        if not self._shards:
            for shard in sorted(self.dataset.committed("clean")):
                keys = self.dataset.parquet("clean", shard, ["key"])[0]["key"].to_pylist()
                self._shards |= dict.fromkeys(keys, shard)
        return self._shards[key]


def _script(contents: Contents, label: str, column: str, lists: Lists, stored: StoredPictures) -> str:
    """JavaScript that passes the page everything to show for one column."""
    keys = list(dict.fromkeys(key for _, found in lists for key in found))
    table = stored.dataset.table(column, ["key", "label", "bytes", "psnr", "ssim"])
    rows = {row["key"]: row for row in table.to_pylist() if row["key"] in set(keys)}
    classes = stored.dataset.plan.classes or ()
    said = answers_of(contents, label, column, keys, classes)
    pictures = {
        key: {
            "clean": stored.name("clean", key),
            "distorted": stored.name(column, key),
            **{name: rows[key][name] for name in ("bytes", "psnr", "ssim")},
            "class": class_name(classes, rows[key]["label"]),
            "answers": said[key],
        }
        for key in keys
    }
    return f"pictures({script_json({'lists': lists, 'pictures': pictures})});\n"


def answers_of(
    contents: Contents, label: str, column: str, keys: Sequence[str], classes: Sequence[str]
) -> dict[str, list[tuple[str, str, bool]]]:
    """Key -> (model, its answer with its confidence, whether that is right), of each model's first seed."""
    found: dict[str, list[tuple[str, str, bool]]] = defaultdict(list)
    for group in contents.groups:
        runs = dict(cells(group)).get((label, column), [])
        if not runs or not runs[0]["samples"] or not group.counts_at(column):
            continue
        fields = ["key", column, f"{column}/predicted", f"{column}/confidence"]
        table = read_samples(Path(runs[0]["samples"]), fields)
        places = {key: i for i, key in enumerate(table["key"].to_pylist())}
        for key in keys:
            if key not in places or column not in table.column_names:
                continue
            row = table.slice(places[key], 1).to_pylist()[0]
            if fields[2] in row:
                said = class_name(classes, row[fields[2]])
                said += f" ({row[fields[3]]:.0%})" if row.get(fields[3]) is not None else ""
            else:
                said = "right" if row[column] else "wrong"
            found[key].append((f"{group.arch}, {group.label}", said, bool(row[column])))
    return found
