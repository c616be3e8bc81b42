"""The page of ``make bench``: what it says about a measurement that misses its target or got worse."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("bench")


def row(value, low=None, high=None, target=None, higher=True):
    low, high = value if low is None else low, value if high is None else high
    return {"name": "loader, jpeg-10: a / b", "value": value, "low": low, "high": high} | {
        "target": target, "higher": higher,
    }  # fmt: skip


def test_the_page_can_be_read_back(bench):
    page = bench.page([row(0.96, 0.91, 0.99, 0.95)], {})
    assert bench.committed(page) == {"loader, jpeg-10: a / b": (0.96, 0.91, 0.99)}
    assert "| ≥ 0.95 |" in page
    assert "python benchmarks/loader.py DATASET" in page
    assert "\ndistort run PICTURES DATASET" in page
    assert "| step, GPU, resnet50: expert, cached teacher / fine-tuning |  | ≤ 1.02 |" in page, (
        "not measured: blank"
    )


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (row(0.90, 0.88, 0.91), (0.96, 0.95, 0.99), "**worse than 0.96**"),
        (row(0.94, 0.88, 0.96), (0.96, 0.95, 0.99), ""),
        (row(1.20, 1.19, 1.22, higher=False), (1.02, 1.00, 1.05), "**worse than 1.02**"),
        (row(1.20, 1.19, 1.22), (1.02, 1.00, 1.05), ""),
        (row(0.90, target=0.95), None, "≥ 0.95, **missed**"),
        (row(1.01, target=1.05, higher=False), None, "≤ 1.05"),
    ],
)
def test_what_got_worse_by_more_than_the_spread_is_marked(bench, now, before, said):
    assert bench.verdict(now, before) == said


def test_every_command_names_a_script_that_exists(bench):
    names = {command.split()[0] for command in [*bench.COMMANDS, *bench.STEPS[True]]}
    assert {"loader.py", "distort_workers.py", "distort_run.py", "distort_rival.py", "distort"} <= names
    assert all((FOLDER / name).exists() for name in names if name.endswith(".py"))
    assert set(bench.QUICK) <= names
