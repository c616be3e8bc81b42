"""Calibration, classes and confusions from answers per sample."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from report.behaviour import Behaviour, by_class, calibration_error, cells_of, class_name, commonest
from report.groups import grouped

N = 3000
RUN = {
    "arch": "a", "method": "expert", "title": "Expert", "protocol": None, "trained_on": "jpeg-10", "seed": 0,
    "everywhere": False, "settings": "{}", "weights": "w", "dataset": "val", "distortion": "jpeg-10",
    "samples": "file",
}  # fmt: skip


@pytest.fixture
def counted():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, N)
    confidence = rng.uniform(0.4, 1, N).astype(np.float32)
    right = rng.random(N) < confidence - 0.1 * (label == 2)
    predicted = np.where(right, label, (label + 1) % 3).astype(np.int32)
    table = pa.table({
        "key": [str(i) for i in range(N)], "label": label, "jpeg-10": right, "jpeg-10/predicted": predicted,
        "jpeg-10/confidence": confidence, "clean": right,
    })  # fmt: skip
    behaviour = Behaviour()
    behaviour.add("file", table, ["jpeg-10", "clean"])
    return behaviour, grouped([RUN]), table


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy(counted):
    behaviour, groups, table = counted
    rows = behaviour.calibration(groups).to_pylist()
    assert sum(row["answers"] for row in rows) == N
    assert {row["distortion"] for row in rows} == {"jpeg-10"}  # clean has no confidences
    confidence, right = table["jpeg-10/confidence"].to_numpy(), table["jpeg-10"].to_numpy()
    place = np.minimum((confidence * 15).astype(int), 14)
    by_hand = sum(abs(confidence[place == b].sum() - right[place == b].sum()) for b in range(15)) / N
    assert calibration_error(rows) == pytest.approx(by_hand, rel=1e-5)
    assert calibration_error(rows) == pytest.approx(0.1 / 3, abs=0.02)


def test_classes_and_confusions_add_up_to_the_answers(counted):
    behaviour, groups, table = counted
    (cell,) = cells_of(behaviour.confusion(groups, {"val": ["cat", "dog", "fox"]}))
    rows = cell.to_pylist()
    assert sum(row["answers"] for row in rows) == N
    wrong = {(row["class"], row["answer"]) for row in rows if row["class"] != row["answer"]}
    assert wrong == {("cat", "dog"), ("dog", "fox"), ("fox", "cat")}
    label, right = table["label"].to_numpy(), table["jpeg-10"].to_numpy()
    hardest = by_class(cell)[0]
    assert hardest["class"] == "fox"
    assert hardest["accuracy"] == pytest.approx(100 * right[label == 2].mean())


def test_pairs_of_several_seeds_and_models_are_those_counted_one_by_one():
    rng = np.random.default_rng(1)
    behaviour, runs, expected = Behaviour(), [], {}
    for method, seed in (("finetune", 0), ("expert", 0), ("expert", 1)):
        label = rng.integers(0, 1000, N)
        predicted = np.where(rng.random(N) < 0.5, label, rng.integers(0, 1000, N)).astype(np.int32)
        columns = {"jpeg-10": label == predicted, "jpeg-10/predicted": predicted, "jpeg-10/confidence": np.ones(N)}
        behaviour.add(f"{method}{seed}", pa.table({"label": label, **columns}), ["jpeg-10"])
        runs.append(RUN | {"method": method, "title": method, "seed": seed, "weights": f"{method}{seed}",
                           "samples": f"{method}{seed}"})  # fmt: skip
        expected.setdefault(method, Counter()).update(zip(label.tolist(), predicted.tolist(), strict=True))
    classes = [f"class {i}" for i in range(990)]  # those after it have numbers
    found = list(cells_of(behaviour.confusion(grouped(runs), {"val": classes})))
    for method, cell in zip(("finetune", "expert"), found, strict=True):
        rows = cell.to_pylist()
        assert {row["base"] for row in rows} == {method}
        assert [(row["class"], row["answer"], row["answers"]) for row in rows] == [
            (class_name(classes, label), class_name(classes, answer), count)
            for (label, answer), count in sorted(expected[method].items())
        ]
        wrong = [row for row in rows if row["class"] != row["answer"]]
        assert commonest(cell, 5) == sorted(wrong, key=lambda row: -row["answers"])[:5]
