"""``make bench``: run the benchmarks and collect their ratios in docs/performance.md, compared with the last ones.

Every ratio compares two ways measured in turn in one run, so it holds on other machines too; times do not.
A ratio is marked if it got worse by more than the spread of both measurements. The loaders of
benchmarks/rivals/loaders.py are measured as far as they are installed.

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

import torch
from pictures import machine

from distort import metrics

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
JPEG = "jpeg-75,jpeg-10,jpeg-5"
#: PICTURES is the folder of pictures; DATASET and SLOWER are made of it in a temporary folder; CORES is a number.
COMMANDS = [
    "ssim.py PICTURES",
    f"distort_run.py PICTURES --distortions {JPEG} --pictures 200 --skip-workers",
    f"distort_run.py PICTURES --distortions {JPEG} --pictures 200 --skip-workers --clean qoi",
    "distort_run.py PICTURES --distortions paper --pictures 60 --skip-workers",
    f"distort_rival.py PICTURES --distortions {JPEG}",
    f"distort_rival.py PICTURES --distortions {JPEG},j2k-75,j2k-200,j2k-400 --pictures 100",
    "distort_workers.py",
    "distort run PICTURES DATASET --distortions jpeg-10 --limit 3840",
    "loader.py DATASET --columns jpeg-10 clean,jpeg-10 --samples 2560",
    "loader.py DATASET --columns jpeg-10 clean,jpeg-10 --samples 3840 --workers CORES",
    "loader.py DATASET --columns jpeg-10 --samples 3840 --latency 10 50 100",
    "distort run PICTURES SLOWER --distortions j2k-200,bpg-46 --limit 640",
    "loader.py SLOWER --columns j2k-200 bpg-46 --samples 640 --rounds 3",
]
GPU = "train_step.py --batch 256 --amp bf16 --dataset DATASET --workers CORES --arch"
ON_A_GPU = ("mnasnet1_0", "resnet50")  #: the networks whose steps are measured there
#: Whether there is a GPU -> the benchmark of a training step.
STEPS = {False: ["train_step.py"], True: [f"{GPU} {arch}" for arch in ON_A_GPU]}
#: The rows that only a GPU fills, as train_step.py names them -> the target.
BLANK = {
    f"step, GPU, {arch}{what}": target
    for arch in ON_A_GPU
    for what, target in (
        (", not compiled: from shards / from one synthetic batch", "≥ 0.97"),
        (", compiled: from shards / from one synthetic batch", "≥ 0.97"),
        (": expert, cached teacher / fine-tuning", "≤ 1.02"),
        (": expert, live teacher / fine-tuning", ""),
    )
}
#: What --quick adds to a command.
QUICK = {
    "distort_run.py": "--pictures 4",
    "distort_rival.py": "--pictures 4 --rounds 1",
    "distort_workers.py": "--most 200",
    "distort": "--limit 128",
    "loader.py": "--samples 128 --rounds 1",
    "train_step.py": "--rounds 1 --steps 2",
}
VERSIONS = ("numpy", "pillow", "imagecodecs", "av", "scikit-image", "torch")
RIVALS = ("webdataset", "mosaicml-streaming", "litdata", "spdl", "torchcodec")
ROW = re.compile(r"\| (?P<name>[^|]+) \| (?P<value>[\d.]+)(?: \((?P<low>[\d.]+) to (?P<high>[\d.]+)\))? \|")


def measure(pictures: str, quick: bool) -> list[dict]:
    """Run every benchmark; what they record, in order."""
    with tempfile.TemporaryDirectory() as folder:
        records = Path(folder, "records")
        places = {"PICTURES": pictures, "DATASET": f"{folder}/dataset", "SLOWER": f"{folder}/slower"}
        places["CORES"] = str(len(os.sched_getaffinity(0)))
        environment = os.environ | {"BENCH_RECORDS": str(records), "OMP_NUM_THREADS": "1"}
        for command in [*COMMANDS, *STEPS[torch.cuda.is_available()]]:
            print(f"\n$ {full(command)}", flush=True)
            name, *arguments = command.split()
            arguments = [places.get(argument, argument) for argument in arguments]
            arguments += QUICK.get(name, "").split() if quick else []
            program = (
                [sys.executable, HERE / name] if name.endswith(".py") else [Path(sys.executable).parent / name]
            )
            subprocess.run([*program, *arguments], check=True, env=environment)
        return [json.loads(line) for line in records.read_text("utf-8").splitlines()]


def full(command: str) -> str:
    """As it is typed in a terminal."""
    return f"python benchmarks/{command}" if command.split()[0].endswith(".py") else command


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
        spread = 0.02 if row["high"] > row["low"] else 0.1  # single measurements have no spread of their own
        if worse and abs(row["value"] - value) > spread * value:
            words.append(f"**worse than {value:.2f}**")
    return "; ".join(words)


def page(rows: list[dict], before: dict[str, tuple[float, float, float]]) -> str:
    measured = {row["name"] for row in rows}
    installed = {found.name for found in importlib.metadata.distributions()}
    libraries = [*VERSIONS, *(name for name in RIVALS if name in installed)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    lines = [
        "# Performance",
        "",
        "Written by `make bench PICTURES=…`. A number is a ratio of two ways measured in turn in one run: its",
        "median, and in brackets the lowest and the highest round. Times are CPU times, unless the row says",
        "otherwise. Requests and simulated efficiencies are no ratios. Each script says first what it does.",
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
    lines += [f"| {name} |  | {target} |" for name, target in BLANK.items() if name not in measured]
    lines += [
        "",
        'Where "the most that is possible" is below 1.3, no loader can be 1.3 times as fast as that rival: not',
        "even decoding alone is. In shards of 10,000 pictures too few are left for all workers at the end of a",
        "run; [scaling](scaling.md) has the sizes that suit. A row without brackets is one measurement and varies",
        "by some percent. A row without a number needs a GPU, which the machine did not have.",
    ]
    commands = [*COMMANDS, *STEPS[False], *STEPS[True]]
    return "\n".join([*lines, "", "```", *map(full, commands), "```", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", help="a folder of pictures, as for 'distort run'")
    parser.add_argument("--quick", action="store_true", help="try all scripts on a few pictures; print the page")
    options = parser.parse_args()
    before = committed(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    made = page(measure(options.pictures, options.quick), before)
    if options.quick:
        print(made)
        return
    PAGE.write_text(made, "utf-8")
    print(f"\n{PAGE}")


if __name__ == "__main__":
    main()
