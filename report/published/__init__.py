"""Published numbers as tidy tables, from the JSON files in this folder or others of the same form."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from report import names
from report.accuracy import ACCURACY, RATES, method_order
from report.gather import MEASURED
from report.gather import row as measured_row
from report.significance import GAINS
from shards.results import TITLES


def available() -> list[str]:
    """Names of the published tables that ship with this package."""
    return sorted(
        file.name.removesuffix(".json") for file in files(__name__).iterdir() if file.name.endswith(".json")
    )


def load(name: str) -> dict:
    """A shipped table by its name, or a file of the same form by its path. Raises ValueError for others."""
    shipped = files(__name__).joinpath(f"{name}.json")
    if name in available():
        return json.loads(shipped.read_text(encoding="utf-8"))
    if not Path(name).is_file():
        raise ValueError(f"no published table '{name}': give one of {', '.join(available())}, or a JSON file")
    try:
        contents = json.loads(Path(name).read_text(encoding="utf-8"))
        missing = {"title", "source", "width", "height", "rates", "accuracy"} - contents.keys()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{name} is not a JSON table: {error}") from None
    if missing:
        raise ValueError(f"{name} lacks {', '.join(sorted(missing))}; docs/report.md describes the format")
    return contents


def measured(table: dict) -> pa.Table:
    """Its rates, PSNR and SSIM as rows of ``measured``; the dataset is its title."""
    pixels = table["width"] * table["height"]
    rows = []
    for name, (psnr, ssim, size) in table["rates"].items():
        values = {"psnr_mean": psnr, "ssim_mean": ssim, "bytes_mean": size, "samples": table.get("samples")}
        values["bpp_mean"] = None if size is None else 8 * size / pixels
        values["identical"] = table.get("samples") if psnr is None else 0
        rows.append(measured_row(table["title"], None, name, values))
    return pa.Table.from_pylist(sorted(rows, key=lambda row: names.order(row["distortion"])), schema=MEASURED)


def accuracy(table: dict, measured: pa.Table) -> pa.Table:
    """Its accuracies in percent as rows of ``accuracy``. Intervals are not published and stay blank."""
    rates = {row["distortion"]: row for row in measured.to_pylist()}
    rows = []
    for arch, columns in table["accuracy"].items():
        for name, values in columns.items():
            rate = rates.get(name) or measured_row(table["title"], None, name, {})
            kept = {field.name: rate[field.name] for field in RATES} | {"arch": arch, "n": table.get("samples")}
            rows += [
                {**kept, **_method(method), "published": True, "accuracy": value, "seeds": 1}
                for method, value in values.items()
            ]
    rows.sort(key=lambda row: (row["arch"], method_order(row), names.order(row["distortion"])))
    return pa.Table.from_pylist(rows, schema=ACCURACY)


def _method(method: str) -> dict[str, str]:
    return {"base": method, "method": method, "label": TITLES.get(method, method)}


def gains(accuracy: pa.Table) -> pa.Table:
    """Expert minus fine-tuned in points, as rows of ``gains``, without intervals."""
    rows = accuracy.to_pylist()
    tuned = {(row["arch"], row["distortion"]): row["accuracy"] for row in rows if row["base"] == "finetune"}
    found = []
    for row in rows:
        place = (row["arch"], row["distortion"])
        if row["base"] != "expert" or place not in tuned:
            continue
        kept = {name: row[name] for name in ("dataset", "arch", "base", "method", "label", "distortion", "n")}
        kept |= {"trained_on": row["distortion"], "baseline": "finetune", "baseline_label": TITLES["finetune"]}
        found.append({**kept, "seeds": 1, "gain": row["accuracy"] - tuned[place], "remark": "published"})
    return pa.Table.from_pylist(found, schema=GAINS)
