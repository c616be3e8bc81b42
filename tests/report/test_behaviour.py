"""Calibration, classes and confusions from answers per sample."""

import numpy as np
import pyarrow as pa
import pytest

from report.behaviour import Behaviour, by_class, calibration_error
from report.groups import grouped

N = 3000


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
    run = {
        "arch": "a", "method": "expert", "title": "Expert", "protocol": None, "trained_on": "jpeg-10", "seed": 0,
        "everywhere": False, "settings": "{}", "weights": "w", "dataset": "val", "distortion": "jpeg-10",
        "samples": "file",
    }  # fmt: skip
    behaviour = Behaviour()
    behaviour.add("file", table, ["jpeg-10", "clean"])
    return behaviour, grouped([run]), table


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
    rows = behaviour.confusion(groups, {"val": ["cat", "dog", "fox"]}).to_pylist()
    assert sum(row["answers"] for row in rows) == N
    wrong = {(row["class"], row["answer"]) for row in rows if row["class"] != row["answer"]}
    assert wrong == {("cat", "dog"), ("dog", "fox"), ("fox", "cat")}
    label, right = table["label"].to_numpy(), table["jpeg-10"].to_numpy()
    hardest = by_class(rows)[0]
    assert hardest["class"] == "fox"
    assert hardest["accuracy"] == pytest.approx(100 * right[label == 2].mean())
