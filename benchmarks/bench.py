"""``make bench``: run the benchmarks and collect their ratios in docs/performance.md, compared with the last ones.

Every ratio compares two ways measured in turn in one run, so it holds on other machines too; times do not.
A ratio is marked if it got worse by more than the spread of both measurements.

Example: python benchmarks/bench.py imagenette224/val
"""

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pictures import machine

from distort import metrics

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
JPEG = "jpeg-75,jpeg-10,jpeg-5"
COMMANDS = [
    "ssim.py PICTURES",
    f"distort_run.py PICTURES --distortions {JPEG} --pictures 200 --skip-workers",
    f"distort_run.py PICTURES --distortions {JPEG} --pictures 200 --skip-workers --clean qoi",
    "distort_run.py PICTURES --distortions paper --pictures 60 --skip-workers",
    f"distort_rival.py PICTURES --distortions {JPEG}",
    f"distort_rival.py PICTURES --distortions {JPEG},j2k-75,j2k-200,j2k-400 --pictures 100",
]
VERSIONS = ("numpy", "pillow", "imagecodecs", "av", "scikit-image", "webdataset")
ROW = re.compile(r"\| (?P<name>[^|]+) \| (?P<value>[\d.]+)(?: \((?P<low>[\d.]+) to (?P<high>[\d.]+)\))? \|")


def measure(pictures: str) -> list[dict]:
    """Run every benchmark; what they record, in order."""
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder, "records")
        environment = os.environ | {"BENCH_RECORDS": str(records), "OMP_NUM_THREADS": "1"}
        for command in COMMANDS:
            print(f"\n$ python benchmarks/{command}", flush=True)
            script, *arguments = command.replace("PICTURES", pictures).split()
            subprocess.run([sys.executable, HERE / script, *arguments], check=True, env=environment)
        return [json.loads(line) for line in records.read_text("utf-8").splitlines()]


def committed(page: str) -> dict[str, tuple[float, float, float]]:
    """Name -> value, low and high of the ratios on a page."""
    found = {}
    for match in ROW.finditer(page):
        value = float(match["value"])
        found[match["name"].strip()] = value, float(match["low"] or value), float(match["high"] or value)
    return found


def verdict(row: dict, before: tuple[float, float, float] | None) -> str:
    """Whether the target is met, and whether the ratio got worse by more than the spread."""
    words, sign = [], 1 if row["higher"] else -1
    if row["target"] is not None:
        met = sign * row["value"] >= sign * row["target"]
        words.append(f"{'≥' if row['higher'] else '≤'} {row['target']:g}{'' if met else ', **missed**'}")
    if before is not None:
        value, low, high = before
        worse = (row["high"] < low) if row["higher"] else (row["low"] > high)
        if worse and abs(row["value"] - value) > 0.02 * value:  # single measurements have no spread of their own
            words.append(f"**worse than {value:.2f}**")
    return "; ".join(words)


def page(rows: list[dict], before: dict[str, tuple[float, float, float]]) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    lines = [
        "# Performance",
        "",
        "Written by `make bench PICTURES=…`. Every number is a ratio of two ways measured in turn in one run: its",
        "median, and in brackets the lowest and the highest round. What each script does is in its first lines.",
        "",
        f"{machine()}; metrics.c {'compiled' if metrics.kernel() else 'not compiled'}; {versions}.",
        "",
        "| what | ratio | target |",
        "|---|---|---|",
    ]
    for row in rows:
        spread = f" ({row['low']:.2f} to {row['high']:.2f})" if row["high"] > row["low"] else ""
        said = verdict(row, before.get(row["name"]))
        lines.append(f"| {row['name']} | {row['value']:.2f}{spread} | {said} |")
    commands = [f"python benchmarks/{command}" for command in COMMANDS]
    return "\n".join([*lines, "", "```", *commands, "```", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", help="a folder of pictures, as for 'distort run'")
    pictures = parser.parse_args().pictures
    before = committed(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    PAGE.write_text(page(measure(pictures), before), "utf-8")
    print(f"\n{PAGE}")


if __name__ == "__main__":
    main()
