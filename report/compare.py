"""Published values beside measured ones."""

from __future__ import annotations

import pyarrow as pa

from report.contents import Contents

#: ``difference`` is measured minus published: bytes, dB, SSIM, or percentage points of top-1.
COMPARED = pa.schema(
    [
        *((name, pa.string()) for name in ("published_in", "dataset", "distortion", "quantity")),
        *((name, pa.float64()) for name in ("published", "measured", "difference")),
    ]
)
QUANTITIES = {"bytes": "bytes_mean", "PSNR (dB)": "psnr_mean", "SSIM": "ssim_mean"}


def compared(contents: Contents) -> pa.Table:
    """Every quantity that both a published table and a dataset of the report have, for lossy columns."""
    titles = [table["title"] for table in contents.published]
    rows = []
    for title in titles:
        theirs = {row["distortion"]: row for row in contents.measured.to_pylist() if row["dataset"] == title}
        for own in contents.measured.to_pylist():
            if own["dataset"] in titles or own["distortion"] not in theirs or own["distortion"] == "clean":
                continue
            for quantity, name in QUANTITIES.items():
                rows.append(_row(title, own, quantity, theirs[own["distortion"]][name], own[name]))
        fields = ("arch", "base", "distortion")
        scores = contents.accuracy.to_pylist()
        theirs = {tuple(row[f] for f in fields): row["accuracy"] for row in scores if row["dataset"] == title}
        for own in scores:
            place = tuple(own[field] for field in fields)
            if own["dataset"] not in titles and place in theirs:
                quantity = f"top-1 (%), {own['arch']}, {own['label']}"
                rows.append(_row(title, own, quantity, theirs[place], own["accuracy"]))
    return pa.Table.from_pylist([row for row in rows if row], schema=COMPARED)


def _row(title: str, own: dict, quantity: str, published: float | None, measured: float | None) -> dict | None:
    if published is None or measured is None:
        return None
    return {
        "published_in": title,
        "dataset": own["dataset"],
        "distortion": own["distortion"],
        "quantity": quantity,
        "published": published,
        "measured": measured,
        "difference": measured - published,
    }
