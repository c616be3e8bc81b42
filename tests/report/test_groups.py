"""Only seeds are averaged; labels name what differs; a gain is over what was trained alike."""

import json

import pytest

from report.groups import baselines, grouped


def run(method="expert", trained_on="jpeg-10", seed=0, weights=None, protocol="paper", **settings):
    return {
        "arch": "resnet50", "method": method, "title": method.title(), "trained_on": trained_on, "seed": seed,
        "everywhere": method in ("pretrained", "stability"), "protocol": protocol, "distortion": trained_on,
        "weights": weights or f"{method} {trained_on} {seed} {protocol} {settings}", "dataset": "val",
        "settings": json.dumps(settings, sort_keys=True),
    }  # fmt: skip


def labels(*runs):
    return {group.label: len(group.runs) for group in grouped(runs)}


def test_runs_that_differ_in_their_seed_alone_are_one_group():
    assert labels(*(run(seed=seed, lr=1e-5) for seed in range(3))) == {"Expert": 3}


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ({"lr": 1e-5}, {"lr": 1e-4}, ("lr 1e-05", "lr 0.0001")),
        ({"alpha": 0.01}, {"alpha": 0.1}, ("alpha 0.01", "alpha 0.1")),
        ({"epochs": 45}, {"epochs": 10}, ("epochs 45", "epochs 10")),
        ({"checkpoint": "best"}, {"checkpoint": "last"}, ("checkpoint best", "checkpoint last")),
        ({"starting_weights": "a" * 64}, {"starting_weights": "b" * 64}, ("start aaaaaaa", "start bbbbbbb")),
        ({"flip": True}, {"flip": False}, ("flip", "no flip")),
        ({"ema": None}, {"ema": 0.999}, ("no ema", "ema 0.999")),
        ({"protocol": "paper"}, {"protocol": "refcode"}, ("paper", "refcode")),
    ],
)
def test_settings_are_not_averaged_as_seeds_and_labels_name_what_differs(a, b, said):
    same = {"batch": 320}
    assert labels(run(seed=0, **same, **a), run(seed=1, **same, **b)) == {f"Expert ({text})": 1 for text in said}


def test_what_the_protocol_prescribes_by_column_is_no_difference_between_columns():
    made = [run(trained_on="jpeg-10", lr=1e-5, alpha=0.01), run(trained_on="jpeg-75", lr=5e-6, alpha=0.005)]
    assert labels(*made) == {"Expert": 1}
    assert {group.label for group in grouped(made)} == {"Expert"}


def test_quirks_that_follow_from_the_protocol_are_not_named_beside_it():
    made = [run(protocol="paper", quirks=""), run(protocol="refcode", quirks="adam-reset,kl-sum")]
    assert labels(*made) == {"Expert (paper)": 1, "Expert (refcode)": 1}


def test_two_networks_of_one_seed_that_record_no_difference_stand_apart():
    assert labels(run(weights="a" * 64), run(weights="b" * 64)) == {
        "Expert (weights aaaaaaa)": 1, "Expert (weights bbbbbbb)": 1}  # fmt: skip
    pretrained = [run("pretrained", None, None, weights=name * 64, protocol=None) for name in "ab"]
    assert set(labels(*pretrained)) == {"Pretrained (weights aaaaaaa)", "Pretrained (weights bbbbbbb)"}


def over(expert, *others):
    groups = grouped([expert, *others])
    mine = next(group for group in groups if group.runs[0] is expert)
    return baselines(groups)[id(mine)]


def test_the_gain_is_over_the_fine_tuned_model_of_the_same_settings():
    found = over(run(lr=1e-5, alpha=0.1), run("finetune", lr=1e-5), run("finetune", lr=1e-4))
    assert found.group.settings["lr"] == 1e-5


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], "no fine-tuned model of this column"),
        ([run("finetune", "jpeg-5", lr=1e-5)], "no fine-tuned model of this column"),
        ([run("finetune", protocol="refcode", lr=1e-5)], "fine-tuned with other protocol"),
        ([run("finetune", epochs=10, lr=1e-5)], "fine-tuned with other epochs"),
        ([run("finetune", lr=1e-3), run("finetune", lr=1e-4)], "no fine-tuned model of this learning rate"),
        ([run("finetune", lr=1e-3), run(lr=1e-3, epochs=45)], "no fine-tuned model of this learning rate"),
    ],
)
def test_without_such_a_model_the_gain_is_blank_with_the_reason(others, reason):
    found = over(run(lr=1e-5, epochs=45, alpha=0.1), *others)
    assert (found.group, found.reason) == (None, reason)


def test_learning_rates_that_were_prescribed_for_each_method_are_compared_and_said():
    found = over(run(lr=1e-5), run("finetune", lr=5e-6))
    assert found.group is not None
    assert found.remark == "lr 1e-05, fine-tuned lr 5e-06"
