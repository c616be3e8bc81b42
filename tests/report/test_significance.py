import hashlib

import pytest
from scipy.stats import binom

from report import contents, significance
from shards.dataset import Dataset
from shards.results import find


def test_mcnemar_is_the_two_sided_sign_test_of_the_discordant_pictures():
    assert significance.mcnemar(9, 1) == pytest.approx(2 * binom.cdf(1, 10, 0.5))
    assert significance.mcnemar(5, 5) == significance.mcnemar(0, 0) == 1


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests_and_never_falls():
    assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.holm([0.9, 0.8]) == [1.0, 1.0]


def test_seeds_are_pooled_into_one_test_and_the_planned_ones_are_corrected_apart(curves, write_results, tmp_path):
    start = {"starting_weights": hashlib.sha256(b"pretrained None None []").hexdigest()}
    models = [("pretrained", None, None, {"blur-1": 0.5})]
    for method, score in (("finetune", 0.75), ("expert", 0.9)):
        models += [(method, "blur-1", seed, {"blur-1": score}, start) for seed in (0, 1)]
    found = contents.collect([Dataset(curves)], find([write_results(tmp_path / "r", models)]))
    rows = {(row["a"], row["b"]): row for row in found.tests.to_pylist()}
    assert {pair: (row["planned"], row["seeds"]) for pair, row in rows.items()} == {
        ("expert", "finetune"): (True, 2),
        ("expert", "pretrained"): (False, 2),
        ("finetune", "pretrained"): (False, 2),
    }
    planned = rows["expert", "finetune"]
    assert planned["p"] == planned["holm"]
    gain = found.gains.to_pylist()[0]
    assert (planned["gain"], planned["low"], planned["high"]) == (gain["gain"], gain["low"], gain["high"])
    assert gain["low"] < gain["gain"] < gain["high"]


def test_only_models_that_began_with_the_same_weights_are_compared(curves, write_results, tmp_path):
    models = [
        (method, "jpeg-10", 0, {"jpeg-10": 0.5}, {"starting_weights": start})
        for method, start in (("finetune", "a" * 64), ("expert", "b" * 64))
    ]
    found = contents.collect([Dataset(curves)], find([write_results(tmp_path / "r", models)]))
    assert len(found.tests) == 0
    (row,) = found.gains.to_pylist()
    assert (row["gain"], row["reason"]) == (None, "fine-tuned with other starting weights")
    assert found.accuracy["label"].to_pylist() == ["Fine-tuned (start aaaaaaa)", "Expert (start bbbbbbb)"]
