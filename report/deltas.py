"""All Bjøntegaard deltas of a report: codecs by PSNR and by accuracy, methods and datasets by accuracy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from report import intervals
from report.accuracy import counting
from report.answers import Answers
from report.bd import Point, delta
from report.gather import PictureTables
from report.groups import BASELINE, RunGroup
from report.names import by

#: ``bd_rate`` in percent: how many more bytes the test needs for the same quality; negative saves.
#: ``bd_quality`` in the unit of the quality (dB, percentage points): how much better the test is for the same
#: bytes. The other fields are ``bd.Delta``'s.
DELTAS = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "quality", "between", "arch", "curve", "anchor", "test")),
        *((f"bd_rate{end}", pa.float64()) for end in ("", "_low", "_high")),
        *((f"bd_quality{end}", pa.float64()) for end in ("", "_low", "_high")),
        ("overlap", pa.float64()),
        *((name, pa.int64()) for name in ("anchor_points", "test_points", "pooled")),
        ("reason", pa.string()),
        ("flag", pa.string()),
    ]
)


@dataclass(frozen=True)
class Measured:
    """Where a point's numbers come from: a dataset's column, and the runs that were tested on it."""

    dataset: str
    distortion: str
    runs: Sequence[dict] = ()
    cluster: tuple = ()  #: points of one cluster share their trainings, seed by seed
    metric: str | None = None  #: the quality of a point without runs; None: PSNR
    sign: int = 1  #: -1 for a metric of which less is better


class Deltas:
    """Builds the table, and holds the data for its intervals."""

    def __init__(self, pictures: PictureTables, groups: Sequence[RunGroup], answers: Answers):
        self.pictures, self.answers = pictures, answers
        self.runs = {
            (dataset, group.arch, group.name, distortion): (group, members)
            for group, (dataset, distortion), members in counting(groups)
        }

    def table(
        self,
        measured: pa.Table,
        accuracy: pa.Table,
        gains: pa.Table,
        anchor: str | None = None,
        metrics: pa.Table | None = None,
    ) -> pa.Table:
        """``anchor`` names the curve that others are compared with; None: the first one."""
        found = []
        rows = [row for row in measured.to_pylist() if row["bpp_mean"]]
        for dataset, part in by(rows, "dataset").items():
            curves = {name: self._pictures(members) for name, members in by(part, "series").items()}
            found += self._against({"dataset": dataset, "quality": "PSNR", "between": "codecs"}, curves, anchor)
        rows = [row for row in metrics.to_pylist() if row["bpp_mean"] and not row["sampled"]] if metrics else []
        for (dataset, title), part in by(rows, "dataset", "title").items():
            curves = {name: self._metric(members) for name, members in by(part, "series").items()}
            found += self._against({"dataset": dataset, "quality": title, "between": "codecs"}, curves, anchor)
        rows = [row for row in accuracy.to_pylist() if row["bpp_mean"]]
        for (dataset, arch, _), part in by(rows, "dataset", "arch", "method").items():
            curves = {name: self._accuracies(members) for name, members in by(part, "series").items()}
            where = {"dataset": dataset, "arch": arch, "curve": part[0]["label"]}
            found += self._against(where | {"quality": "accuracy", "between": "codecs"}, curves, anchor)
        paired = {
            (row["dataset"], row["arch"], row["method"], row["distortion"]): row["baseline"]
            for row in gains.to_pylist()
            if row["trained_on"] == row["distortion"] and row["gain"] is not None
        }
        for (dataset, arch, series), part in by(rows, "dataset", "arch", "series").items():
            where = {
                "dataset": dataset,
                "arch": arch,
                "curve": series,
                "quality": "accuracy",
                "between": "methods",
            }
            found += self._methods(where, by(part, "method"), paired, anchor)
        for (arch, _, series), part in by(rows, "arch", "method", "series").items():
            curves = {name: self._accuracies(members) for name, members in by(part, "dataset").items()}
            where = {"arch": arch, "curve": f"{series}, {part[0]['label']}"}
            found += self._against(where | {"quality": "accuracy", "between": "datasets"}, curves, anchor)
        return pa.Table.from_pylist(found, schema=DELTAS)

    def _methods(
        self, where: dict, methods: dict[str, list[dict]], paired: Mapping, anchor: str | None
    ) -> list[dict]:
        """Each method against its own baseline if it has one, the others against one anchor."""
        labels = {name: rows[0]["label"] for name, rows in methods.items()}
        tuned = [name for name, rows in methods.items() if rows[0]["base"] == BASELINE]
        first = next((name for name in methods if anchor in (name, labels[name])), None)
        first = first or (tuned[0] if len(tuned) == 1 else next(iter(methods)))
        found = []
        for name, rows in methods.items():
            base = [paired.get((row["dataset"], row["arch"], name, row["distortion"])) for row in rows]
            against = base[0] if anchor is None and base[0] and len(set(base)) == 1 else first
            if name == against or against not in methods:
                continue
            places = {row["distortion"] for row in rows}
            theirs = [row for row in methods[against] if anchor or not base[0] or row["distortion"] in places]
            made = delta(self._accuracies(theirs), self._accuracies(rows), self._variance)
            found.append({**where, "anchor": labels[against], "test": labels[name], **asdict(made)})
        return found

    def _against(self, where: dict, curves: dict[str, list[Point]], anchor: str | None) -> list[dict]:
        first = anchor if anchor in curves else next(iter(curves))
        return [
            {**where, "anchor": first, "test": test, **asdict(delta(curves[first], points, self._variance))}
            for test, points in curves.items()
            if test != first
        ]

    def _pictures(self, rows: list[dict]) -> list[Point]:
        return [
            Point(row["bpp_mean"], row["psnr_mean"], Measured(row["dataset"], row["distortion"])) for row in rows
        ]

    def _metric(self, rows: list[dict]) -> list[Point]:
        points = []
        for row in rows:
            sign = 1 if row["higher_is_better"] else -1
            source = Measured(row["dataset"], row["distortion"], metric=row["metric"], sign=sign)
            quality = None if row["mean"] is None else sign * row["mean"]
            points.append(Point(row["bpp_mean"], quality, source))
        return points

    def _accuracies(self, rows: list[dict]) -> list[Point]:
        points = []
        for row in rows:
            place = (row["dataset"], row["arch"], row["method"], row["distortion"])
            group, members = self.runs.get(place, (None, ()))
            cluster = ()
            if group:
                same = group.name if group.everywhere else group.trained_on
                cluster = (row["dataset"], row["arch"], same, *(run["seed"] for run in members))
            source = Measured(row["dataset"], row["distortion"], members, cluster)
            points.append(Point(row["bpp_mean"], row["accuracy"], source))
        return points

    def _variance(self, slopes: Sequence[tuple[Point, float, float]]) -> intervals.Estimate | None:
        """The estimate for a delta with the given derivatives, from each picture and seed."""
        if len({self.pictures.plan(point.source.dataset) for point, _, _ in slopes}) != 1:
            return None
        constant: Any = 0.0
        clusters: dict[tuple, Any] = defaultdict(float)
        for point, by_rate, by_quality in slopes:
            column = self.pictures.column(point.source.dataset, point.source.distortion)
            if column is None:
                return None
            constant = constant + by_rate / (np.log(10) * point.rate) * (column["bpp"] - point.rate)
            if not point.source.cluster:
                values = column["psnr"]
                if name := point.source.metric:
                    values = point.source.sign * self.pictures.metric(
                        point.source.dataset, point.source.distortion, name
                    )
                finite = np.isfinite(values)  # the mean is over the pictures that have a value
                share = by_quality * len(finite) / finite.sum()
                constant = constant + share * np.where(finite, values - point.quality, 0.0)
                continue
            answers = self.answers.matrix(point.source.runs)
            if answers is None:
                return None
            clusters[point.source.cluster] = clusters[point.source.cluster] + 100 * by_quality * answers
        size = max([len(constant), *(part.shape[1] for part in clusters.values())])
        if any(part.shape[1] != size for part in clusters.values()) or len(constant) != size:
            return None
        return intervals.estimate(list(clusters.values()) or [constant[None]], constant if clusters else None)
