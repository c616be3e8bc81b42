"""The artifact sheet: one sample of a dataset under every distortion (Marie et al. 2022, Fig. 3)."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from distort import codecs, sheet
from report import names
from report.names import by
from shards.access import ColumnReader
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.files import Files

PANELS = 20  #: more columns than this: the least, the middle and the most distorting of each series
SIDE = 448  #: pixels; of larger pictures the sheet shows the centre, unscaled


def first_key(dataset: Dataset) -> str:
    """The key that a report shows when none is chosen: the first of the first finished shard."""
    shard = min(dataset.committed("clean"))
    return dataset.parquet("clean", shard, ["key"])[0]["key"][0].as_py()


def artifact_sheet(dataset: Dataset, key: str) -> tuple[Image.Image, str]:
    """The sheet of one sample, and a note for its caption. Raises DatasetError for an unknown key."""
    shard, rows = dataset.find(key)
    chosen = choose(sorted(rows, key=names.order))
    panels, cut, foreign = [], False, []
    for name in chosen:
        try:
            decode = codecs.decoder(dataset.column(name))
        except DatasetError:  # its codec, or the model of it, is not installed here
            foreign.append(name)
            continue
        rgb = picture(dataset, name, shard, rows[name]["key"], decode)
        cut |= max(rgb.shape[:2]) > SIDE
        psnr = math.inf if rows[name]["psnr"] is None else rows[name]["psnr"]
        panels.append(sheet.Panel(name, centre(rgb), rows[name]["bytes"], psnr, rows[name]["ssim"]))
    remarks = [f"Key {key}."]
    if cut:
        remarks.append(f"The centre {SIDE} pixels; the numbers are those of the whole picture.")
    if foreign:
        remarks.append(f"No installed codec decodes {', '.join(foreign)}.")
    if len(chosen) < len(rows):
        remarks.append(f"{len(chosen)} of {len(rows)} columns.")
    return sheet.draw(panels), " ".join(remarks)


def choose(distortions: list[str]) -> list[str]:
    """All columns if they fit on a sheet, else up to three of each series, and as many series as fit."""
    if len(distortions) <= PANELS:
        return distortions
    series = by([{"series": names.place(name).series, "name": name} for name in distortions], "series")
    for most in (3, 2, 1):
        kept = []
        for members in series.values():
            picks = sorted({0, len(members) // 2, len(members) - 1} if most == 3 else {0, len(members) - 1})
            kept += [members[i]["name"] for i in picks[-most:]]
        if len(kept) <= PANELS:
            break
    return kept[:PANELS]


def picture(dataset: Dataset, column: str, shard: int, key: str, decode: codecs.ColumnDecoder) -> np.ndarray:
    """One decoded picture, read from its place in the tar without reading the rest."""
    reader = ColumnReader(dataset, column, Files(dataset.storage))
    at = reader.rows(shard).keys.to_pylist().index(key)
    (data,) = reader.read(shard, at, at + 1)
    try:
        return decode(data)
    except ValueError as error:
        raise ValueError(
            f"{dataset.storage.url}: column '{column}', shard {shard:06d}, key '{key}': {error}; "
            "'shards verify' says more"
        ) from None


def centre(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    top, left = max((height - SIDE) // 2, 0), max((width - SIDE) // 2, 0)
    return rgb[top : top + SIDE, left : left + SIDE]
