"""What docs/results.md and README.md say is what the committed results say."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from train.cli import main as train
from train.methods import METHODS, Context
from train.settings import Settings

ROOT = Path(__file__).parents[1]
EXPERIMENT = ROOT / "experiments" / "imagenette"


def loaded(file):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def writer():
    return loaded(EXPERIMENT / "stage_6_write.py")


@pytest.fixture(scope="module")
def systems():
    return loaded(ROOT / "experiments" / "systems" / "run.py")


def test_the_pages_are_written_byte_for_byte_from_the_committed_results(writer, tmp_path):
    shutil.copytree(EXPERIMENT, tmp_path / "experiments" / "imagenette")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Kept\n" + writer.BEGIN + "| old |\n" + writer.END + "kept\n")
    script = tmp_path / "experiments" / "imagenette" / "stage_6_write.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("results.md", "results-gain.svg"):
        assert (tmp_path / "docs" / name).read_bytes() == (ROOT / "docs" / name).read_bytes(), name
    made, committed = (folder.joinpath("README.md").read_text() for folder in (tmp_path, ROOT))
    table = committed[committed.index(writer.BEGIN) : committed.index(writer.END)]
    assert made == f"# Kept\n{table}{writer.END}kept\n"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-2.0, -0.1, "worse"),
        (-0.3, 0.5, "is refuted for this network and task."),
        (0.1, 0.5, "though the expert is better"),
        (0.2, 0.9, "better here."),
        (0.7, 0.9, "by 0.6 points at least"),
        (-0.1, 0.7, "nothing is settled"),
    ],
)
def test_the_verdict_follows_the_rules_fixed_beforehand(writer, low, high, said):
    assert said in writer.verdict(low, high)


def test_the_power_calculation_finds_the_spread_that_was_put_in(writer):
    rng = np.random.default_rng(0)
    gain = rng.normal(0, 0.01, (40, 1)) + rng.normal(0, 0.2, (1, 3000)) + rng.normal(0, 0.4, (40, 3000))
    of_seeds, of_pictures, rest = np.sqrt(writer.components(gain))
    assert of_seeds == pytest.approx(0.01, rel=0.4)
    assert of_pictures == pytest.approx(0.2, rel=0.1)
    assert rest == pytest.approx(0.4, rel=0.05)


def test_seeds_needed_meet_the_power_they_are_for(writer):
    # 0.6 points at 80 % power: (1.96 + 0.84) standard errors, so a variance of (0.6 / 2.80)² points².
    assert writer.seeds_needed((0.005**2, 0.0, 0.0), 10**9) == str(int(np.ceil(0.25 / (0.6 / 2.801582) ** 2)))
    assert writer.seeds_needed((0.005**2, 0.2**2, 0.0), 100) == "not with so few pictures"


def test_every_method_takes_part_and_every_command_is_one_that_train_takes(systems, tmp_path):
    scale = systems.SCALES["tiny"]
    runs = systems.runs(scale)
    assert {options[0] for options in runs.values()} == set(METHODS.names())
    for name, options in runs.items():
        _, method, *rest = map(str, systems.arguments(tmp_path, scale, name, *options))
        context = train.get_command(click.Context(train), method).make_context(method, list(rest))
        values = {key: value for key, value in context.params.items() if key != "train"}
        settings = Settings.of(method, train="train", **values)
        METHODS.load(method)(settings.options, Context(settings.arch))
    assert set(systems.APART) <= set(runs)


def test_the_table_of_all_methods(systems):
    score = {"n": 20, "accuracy": 50.0, "low": 30.2, "high": 69.8, "bytes_mean": 1234.5, "psnr_mean": 24.0}
    places = [("Pre-trained", "clean"), ("Expert", "jpeg-5"), ("Pre-trained", "tvl1-0.8+jpeg-5")]
    rows = [{"label": label, "distortion": column, **score} for label, column in places]
    assert systems.table(rows).splitlines() == [
        "| | clean | jpeg-5 | jpeg-10 | j2k-200 | jpeg-20 | jpeg-50 | j2k-75 |",
        "|---|---|---|---|---|---|---|---|",
        "| Pre-trained | 50.0 [30, 70] |  |  |  |  |  |  |",
        "| Expert |  | 50.0 [30, 70] |  |  |  |  |  |",
        "",
        "| column | bytes | PSNR | pre-trained |",
        "|---|---|---|---|",
        "| tvl1-0.8+jpeg-5 | 1,234 | 24.0 | 50.0 [30, 70] |",
    ]


def test_committed_tables_are_those_of_the_committed_numbers(systems):
    for file in systems.RESULTS.glob("*.json"):
        assert file.with_suffix(".md").read_text() == systems.table(json.loads(file.read_text())), file
