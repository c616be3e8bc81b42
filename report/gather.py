"""From datasets to the tidy table ``measured``: one row per dataset and distortion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa

from report import names
from report.answers import Answers
from shards.dataset import Dataset
from shards.errors import DatasetError

#: Rates are those of whole files, headers included; PSNR is the mean of per-image dB on RGB (uint8), MSE the mean
#: of per-image MSE in squared grey levels. ``*_std`` is the standard deviation over pictures, not an error of the
#: mean.
MEASURED = pa.schema(
    [
        ("dataset", pa.string()),
        ("plan", pa.string()),
        ("distortion", pa.string()),
        ("series", pa.string()),
        ("codec", pa.string()),
        ("value", pa.float64()),
        ("chained", pa.bool_()),
        ("samples", pa.int64()),
        ("identical", pa.int64()),
        *(
            (f"{name}_{kind}", pa.float64())
            for name in ("bytes", "bpp", "psnr", "ssim")
            for kind in ("mean", "std")
        ),
        ("mse_mean", pa.float64()),
    ]
)
PEAK = 255.0


def measured(datasets: Sequence[Dataset]) -> pa.Table:
    """Rate, PSNR, SSIM and MSE of every column of every dataset, in the order in which tables print them.

    ``psnr_mean`` is over the pictures that differ from their clean crop, null when none does; ``identical``
    counts the others, whose PSNR is infinite and whose MSE, 0, counts in ``mse_mean``.
    Raises DatasetError when a dataset has no finished shard or the same one is given twice.
    """
    rows = []
    for label, dataset in labelled(datasets).items():
        stats = {row["distortion"]: row for row in dataset.stats().to_pylist()}
        if not stats.get("clean", {}).get("samples"):
            raise DatasetError(f"{dataset.storage.url} has no finished shard yet; run distort to the end first")
        for name in sorted(stats, key=names.order):
            if stats[name]["samples"]:
                mse = mean_mse(dataset.table(name, ["psnr"])["psnr"])
                rows.append(row(label, dataset.plan.hash, name, stats[name] | {"mse_mean": mse}))
    return pa.Table.from_pylist(rows, schema=MEASURED)


def row(dataset: str, plan: str | None, distortion: str, values: dict) -> dict:
    """A row of ``measured``: name fields filled in, numbers taken from ``values``."""
    place = names.place(distortion)
    kept = {name: values.get(name) for name in MEASURED.names}
    return kept | {
        "dataset": dataset,
        "plan": plan,
        "distortion": distortion,
        "series": place.series,
        "codec": place.codec,
        "value": place.value,
        "chained": place.chained,
    }


def mean_mse(psnr: pa.ChunkedArray) -> float:
    """Mean over pictures of MSE = 255² / 10^(PSNR/10), squared grey levels; a null PSNR is an MSE of 0."""
    db = psnr.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return float(np.where(np.isnan(db), 0.0, PEAK**2 / 10 ** (np.nan_to_num(db) / 10)).mean())


class PictureTables:
    """Rate and PSNR picture by picture, in the order of ``answers``; read when first asked for."""

    def __init__(self, datasets: Mapping[str, Dataset], answers: Answers):
        self.datasets, self.answers = datasets, answers
        self._columns: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        self._metrics: dict[tuple[str, str, str], np.ndarray] = {}

    def plan(self, dataset: str) -> str | None:
        return self.datasets[dataset].plan.hash if dataset in self.datasets else None

    def column(self, dataset: str, distortion: str) -> dict[str, np.ndarray] | None:
        """``bpp`` and ``psnr`` (dB, infinite: identical), float (n,); NaN where the column lacks a picture."""
        data = self.datasets.get(dataset)
        if data is None or distortion not in data.columns:
            return None
        if (dataset, distortion) not in self._columns:
            table = data.table(distortion, ["key", "bpp", "psnr"])
            order = self.answers.order(data.plan.hash, table["key"])
            size = len(self.answers.keys(data.plan.hash))
            found = {name: np.full(size, np.nan) for name in ("bpp", "psnr")}
            found["bpp"][order] = table["bpp"].to_numpy()
            found["psnr"][order] = table["psnr"].fill_null(np.inf).to_numpy()
            self._columns[dataset, distortion] = found
        return self._columns[dataset, distortion]

    def metric(self, dataset: str, distortion: str, name: str) -> np.ndarray:
        """A metric of ``distort measure``, float (n,); NaN where it is not defined."""
        place = (dataset, distortion, name)
        if place not in self._metrics:
            data = self.datasets[dataset]
            table = data.table(distortion, ["key", name])
            order = self.answers.order(data.plan.hash, table["key"])
            self._metrics[place] = np.full(len(self.answers.keys(data.plan.hash)), np.nan)
            self._metrics[place][order] = table[name].to_numpy()
        return self._metrics[place]


def labelled(datasets: Sequence[Dataset]) -> dict[str, Dataset]:
    """Short names for datasets: the shortest ends of their paths that are unique."""
    paths = [PurePosixPath(dataset.storage.root) for dataset in datasets]
    twice = [str(path) for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise DatasetError(f"{twice[0]} is given twice")
    parts = 1
    while len({path.parts[-parts:] for path in paths}) < len(paths):
        parts += 1
    return {"/".join(path.parts[-parts:]): data for path, data in zip(paths, datasets, strict=True)}


def incomplete(table: pa.Table) -> list[str]:
    """One sentence per column with fewer samples than the clean column: its mean is over a part."""
    rows = table.to_pylist()
    whole = {row["dataset"]: row["samples"] for row in rows if row["distortion"] == "clean"}
    return [
        f"{row['dataset']}: {row['distortion']} has {row['samples']:,} of {whole[row['dataset']]:,} samples; "
        "its means are over that part only. Run distort again to complete it."
        for row in rows
        if row["dataset"] in whole and row["samples"] != whole[row["dataset"]]
    ]
