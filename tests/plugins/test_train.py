"""A training method and a network, written and installed as other packages, from training to the report."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import pytest

from report import api
from report.tables import main

_spec = importlib.util.spec_from_file_location(
    "train_conftest", Path(__file__).parents[1] / "train" / "conftest.py"
)
_train = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_train)
make_set, train_source, train_set, val_source, val_set, weights = (
    vars(_train)[name] for name in ("make_set", "train_source", "train_set", "val_source", "val_set", "weights")
)
SHORT = ("--epochs", 1, "--batch", 16, "--holdout", 0.1, "--lr", 1e-3, "--workers", 0)


def table1(dataset, results):
    """What a report says, made here, where the plugin is not installed."""
    made = main.table1(api.collect([dataset], [results])).csv()
    return {row["distortion"]: row for row in csv.DictReader(made.splitlines())}


@pytest.mark.slow
def test_a_method_of_another_package(plugin, run, train_set, val_set, weights, tmp_path):
    method = plugin("method", "network")
    listed = " ".join(method.run("train", "--help").stdout.split())
    assert "alike A method of the package codecproof-alike." in listed
    assert "--layer TEXT" in method.run("train", "alike", "--help").stdout
    arguments = ["alike", train_set, "--val", val_set, "--column", "jpeg-10", "--beta", 0.5, "--arch",
                 _train.ARCH, "--weights", weights, *SHORT, "--out", tmp_path / "run"]  # fmt: skip
    wrong = method.run("train", *arguments, "--layer", "stage5")
    assert wrong.returncode == 1
    assert "the network has no layer 'stage5': did you mean 'stage" in wrong.stderr
    done = method.run("train", *arguments, "--layer", "stage4", "--resume")
    assert done.returncode == 0, done.stderr
    assert "train_distance" in (tmp_path / "run" / "metrics.csv").read_text()
    # What it trained is a plain network: evaluated and reported where the plugin is not installed.
    done = run("train", "evaluate", val_set, "--checkpoint", tmp_path / "run" / "last.safetensors",
               "--workers", 0, "--out", tmp_path / "results.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = json.loads((tmp_path / "results.json").read_text())["results"][0]["model"]
    assert (model["title"], model["trained_on"], model["settings"]["beta"]) == ("Alike", "jpeg-10", 0.5)
    assert table1(val_set, tmp_path / "results.json")["jpeg-10"][f"{_train.ARCH}/alike/accuracy"]


@pytest.mark.slow
def test_a_network_of_another_package(plugin, train_set, val_set, tmp_path, run):
    network = plugin("method", "network")
    arguments = ["finetune", train_set, "--val", val_set, "--column", "jpeg-10", "--weights", "none", *SHORT,
                 "--out", tmp_path / "run"]  # fmt: skip
    wrong = network.run("train", *arguments, "--arch", "tiny:none")
    assert "give a width between 1 and 1024, as tiny:16" in wrong.stderr
    done = network.run("train", *arguments, "--arch", "tiny:8", "--resume")
    assert done.returncode == 0, done.stderr
    best = tmp_path / "run" / "best.safetensors"
    evaluate = ["evaluate", val_set, "--checkpoint", best, "--workers", 0, "--out", tmp_path / "again.json"]
    assert network.run("train", *evaluate).returncode == 0
    again, first = (json.loads(file.read_text())["results"][0] for file in
                    (tmp_path / "again.json", tmp_path / "run" / "results.json"))  # fmt: skip
    assert again["columns"] == first["columns"]
    assert table1(val_set, tmp_path / "again.json")["jpeg-10"]["tiny:8/finetune/accuracy"]
    missing = run("train", *evaluate)
    assert missing.returncode == 1
    assert "holds a network of kind 'tiny', which no installed package provides" in missing.stderr
    assert "made with the package 'codecproof-tiny'" in missing.stderr


@pytest.mark.parametrize("name", ["method/codecproof_alike.py", "network/codecproof_tiny.py"])
def test_a_plugin_is_one_short_file(name):
    assert len((Path(__file__).parent / name).read_text().splitlines()) < 60
