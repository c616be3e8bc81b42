"""``column.json``: how a column is made. Every worker's settings and versions must agree with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress

from distort import crops
from distort.codecs import UnsupportedPicture
from distort.codecs.lossless import LOSSLESS
from distort.distortion import Distortion, DistortionError, parse
from distort.engines import UnfitNode
from shards.column import COLUMN
from shards.dataset import Dataset
from shards.errors import DatasetError
from shards.plan import FILE, column_folder

CLEAN = "clean"
ADVICE = (
    "\nUse the same settings and versions, or make a new dataset; --any-version allows other library versions."
)
UNUSED = "\nNo shard of it is finished: remove {folder} if no other job is making it, and repeat the command."


def declare(
    dataset: Dataset, distortions: list[Distortion], any_version: bool = False, again: bool = False
) -> None:
    """Write ``column.json`` for new columns; refuse existing ones that this machine would make differently.

    Finished columns are only read, so their library versions may differ, unless some shards are made ``again``.
    With ``any_version``, versions may differ in all columns, but settings may not. Raises DatasetError, also when
    a codec cannot hold crops of this size.
    """
    _check_size(dataset, distortions)
    for name, column in list(_described(dataset, distortions)):
        file = f"{column_folder(name)}/{COLUMN}"
        if name not in dataset.columns:
            with suppress(FileExistsError):  # another job was faster
                dataset.storage.create(file, (json.dumps(column, indent=2, sort_keys=True) + "\n").encode())
            vars(dataset).pop("columns", None)  # read again, with the new one
        if clash := _clash(dataset, name, column, any_version, again):
            unused = UNUSED.format(folder=f"{dataset.storage.url}/{column_folder(name)}")
            raise DatasetError(
                f"{dataset.storage.url}: new shards of column '{name}' would differ from its {COLUMN}:{clash}"
                f"{ADVICE if dataset.committed(name) else unused}"
            )


def _check_size(dataset: Dataset, distortions: list[Distortion]) -> None:
    crop = crops.parse(dataset.plan.settings["crop"])
    side = int(crop.settings.get("center") or crop.settings.get("size") or 0)
    for distortion in distortions if side else ():
        try:
            distortion.check_size(side, side)
        except UnsupportedPicture as error:
            raise DatasetError(f"{distortion.name} cannot be made with --crop {crop.name}: {error}") from None


def check(dataset: Dataset, specs: tuple[str, ...], any_version: bool = False) -> list[Distortion]:
    """The distortions of ``specs``, checked: this machine makes them exactly as ``column.json`` says.

    Otherwise raises UnfitNode, before anything is written.
    """
    here = socket.gethostname()
    try:
        distortions = [parse(spec) for spec in specs]
        described = list(_described(dataset, distortions))
    except (DistortionError, ImportError, OSError) as error:
        raise UnfitNode(f"{here} cannot make {', '.join(specs)}: {error}; install what is missing") from error
    for name, column in described:
        if clash := _clash(dataset, name, column, any_version):
            raise UnfitNode(
                f"{here} would make other bytes than column '{name}' of {dataset.storage.url} has:{clash}{ADVICE}"
            )
    return distortions


def _described(dataset: Dataset, distortions: list[Distortion]) -> Iterator[tuple[str, dict]]:
    """Contents of ``column.json`` for the clean column and for ``distortions``, as made on this machine."""
    settings = dataset.plan.settings
    if settings.get("clean") not in LOSSLESS or not isinstance(settings.get("crop"), str):
        raise DatasetError(
            f"{dataset.storage.url}/{FILE} has a crop or format that this version does not know; restore the file"
        )
    store = LOSSLESS[settings["clean"]]
    crop = crops.parse(settings["crop"])
    stored = {"name": f"lossless {settings['clean']}", "settings": store.settings, "versions": store.versions()}
    cut = {"name": f"crop {crop.name}", "settings": crop.settings, "versions": crop.versions()}
    yield _column(CLEAN, store.extension, [cut, stored])
    for distortion in distortions:
        steps = distortion.settings()
        if not distortion.has_bitstream:
            steps.append(stored)
        yield _column(distortion.name, distortion.extension(store), steps)


def _column(name: str, extension: str, steps: list[dict]) -> tuple[str, dict]:
    for step in steps:
        versions = step["versions"]
        if not (isinstance(step["settings"], dict) and isinstance(versions, dict)):
            raise DistortionError(f"{step['name']}: settings() and versions() must return dicts")
        if wrong := [library for library, version in versions.items() if not isinstance(version, str)]:
            raise DistortionError(f"{step['name']}: versions() must give strings; that of {wrong[0]} is not one")
    try:
        return name, json.loads(json.dumps({"column": name, "extension": extension, "steps": steps}))
    except TypeError as error:
        raise DistortionError(f"{name}: settings() must return plain JSON: {error}") from None


def _clash(dataset: Dataset, name: str, column: dict, any_version: bool, again: bool = False) -> str:
    """How ``column`` differs from the dataset's ``column.json``, on lines of their own; empty when they agree.

    Finished clean crops are not compared. For other finished columns, versions are not compared.
    """
    finished = not again and name in dataset.columns and len(dataset.committed(name)) == dataset.plan.shards
    if finished and name == CLEAN:
        return ""
    differences = list(_differences(dataset.columns.get(name) or {}, column, any_version or finished))
    return "\n  ".join(["", *differences])


def _differences(there: dict, now: dict, any_version: bool, prefix: str = "") -> Iterator[str]:
    for name in sorted({*there, *now}):
        a, b = there.get(name), now.get(name)
        if name == "versions" and any_version:
            continue
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and name == "steps":
            for x, y in zip(a, b, strict=True):
                yield from _differences(x, y, any_version, f"{y.get('name')} ")
        elif isinstance(a, dict) and isinstance(b, dict):
            yield from _differences(a, b, any_version, prefix)
        elif a != b:
            yield f"{prefix}{name}: {json.dumps(a)} in the dataset, {json.dumps(b)} now"
