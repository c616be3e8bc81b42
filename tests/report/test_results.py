import json

import pytest
from scipy.stats import binomtest

from report import contents
from report.tables import TABLES
from shards.dataset import Dataset
from shards.results import ResultsError, find


def collect(curves, *folders):
    return contents.collect([Dataset(curves)], find(folders))


def test_results_of_another_dataset_are_refused_with_both_named(curves, write_results, models, tmp_path):
    folder = write_results(
        tmp_path / "r", models, dataset={"path": "elsewhere/val", "plan": "f" * 64, "samples": 1}
    )
    with pytest.raises(ResultsError, match=r"elsewhere/val \(plan ffffffffffff\).*curves \(plan "):
        collect(curves, folder)


def test_a_results_file_that_is_cut_off_is_named(curves, runs, tmp_path):
    text = (runs / "results.json").read_text()
    (tmp_path / "results.json").write_text(text[: len(text) // 2])
    with pytest.raises(ResultsError, match=r"results\.json is truncated.*train evaluate"):
        collect(curves, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema=3), "does not have schema 1 or 2"),
        (lambda c: c.pop("dataset"), "'dataset' is missing"),
        (lambda c: c["results"][0].pop("model"), r"results\[0\]: 'model' is missing"),
        (lambda c: c["results"][0]["columns"]["clean"].update(top1=73.1), "not a fraction"),
    ],
)
def test_a_damaged_results_file_says_what_is_wrong(curves, runs, tmp_path, change, message):
    contents_ = json.loads((runs / "results.json").read_text())
    change(contents_)
    (tmp_path / "results.json").write_text(json.dumps(contents_))
    with pytest.raises(ResultsError, match=message):
        collect(curves, tmp_path)


def test_a_path_without_results_is_named(tmp_path):
    with pytest.raises(ResultsError, match=r"no results\.json"):
        find([tmp_path])


def test_a_model_counts_once_however_often_it_was_evaluated(curves, runs, write_results, models, tmp_path):
    again = write_results(tmp_path / "again", models[:1])
    once, twice = collect(curves, runs), collect(curves, runs, again)
    assert twice.accuracy.equals(once.accuracy)


def test_one_run_has_wilsons_interval_and_several_seeds_a_wider_one_than_the_pictures_alone(
    curves, write_results, tmp_path
):
    models = [("expert", "jpeg-10", seed, {"jpeg-10": score}) for seed, score in ((0, 0.5), (1, 0.75), (2, 0.25))]
    (row,) = collect(curves, write_results(tmp_path / "three", models)).accuracy.to_pylist()
    assert (row["seeds"], row["accuracy"], row["spread"]) == (3, pytest.approx(50), pytest.approx(25))
    three = row["high"] - row["low"]
    (row,) = collect(curves, write_results(tmp_path / "one", models[:1])).accuracy.to_pylist()
    low, high = binomtest(12, 24).proportion_ci(method="wilson")
    assert (row["seeds"], row["spread"]) == (1, None)
    assert (row["low"], row["high"]) == (pytest.approx(100 * low), pytest.approx(100 * high))
    assert three > row["high"] - row["low"]


def test_a_specialist_counts_at_its_own_column_and_elsewhere_only_in_the_matrix(collected):
    scores = {(row["method"], row["distortion"]) for row in collected.accuracy.to_pylist()}
    assert ("expert", "jpeg-10") in scores
    assert ("expert", "clean") not in scores
    assert ("pretrained", "clean") in scores
    assert len(collected.matrix) == 2 * 4 * 4


def test_stability_training_counts_at_every_column_as_its_method_says(curves, write_results, tmp_path):
    scores = dict.fromkeys(("clean", "jpeg-10", "jpeg-75"), 0.5)
    found = collect(curves, write_results(tmp_path / "r", [("stability", "clean", 0, scores)]))
    assert found.accuracy["distortion"].to_pylist() == ["clean", "jpeg-75", "jpeg-10"]
    rows = {row["distortion"]: row for row in TABLES[0](found).records}
    assert all(rows[name]["mnasnet1_0/stability/accuracy"] == 50 for name in scores)


def test_a_column_no_sample_of_which_was_tested_is_blank(curves, write_results, models, tmp_path):
    folder = write_results(tmp_path / "r", models[:1])
    text = json.loads((folder / "results.json").read_text())
    text["results"][0]["columns"]["jpeg-5"] |= {"n": 0, "top1": None, "top1_interval": None}
    text["results"][0]["samples"] = None
    (folder / "results.json").write_text(json.dumps(text))
    assert "jpeg-5" not in collect(curves, folder).accuracy["distortion"].to_pylist()


def test_protocols_are_not_averaged_as_if_they_were_seeds(curves, write_results, tmp_path):
    folder = write_results(tmp_path / "r", [("expert", "jpeg-10", seed, {"jpeg-10": 0.5}) for seed in (0, 1)])
    text = json.loads((folder / "results.json").read_text())
    text["results"][1]["model"]["protocol"] = "paper"
    (folder / "results.json").write_text(json.dumps(text))
    assert collect(curves, folder).accuracy["method"].to_pylist() == ["expert (paper)", "expert (refcode)"]


def test_results_for_a_column_the_dataset_lacks_are_shown_without_a_rate(curves, write_results, tmp_path):
    found = collect(curves, write_results(tmp_path / "r", [("pretrained", None, None, {"bpg-41": 0.5})]))
    (row,) = found.accuracy.to_pylist()
    assert (row["accuracy"], row["bytes_mean"]) == (pytest.approx(50), None)
    assert any("bpg-41" in note for note in found.notes)


def test_no_results_give_empty_tables(curves):
    found = collect(curves)
    assert not any(map(len, (found.runs, found.accuracy, found.matrix, found.gains, found.tests)))


def test_answers_among_some_of_the_classes_are_noted_and_never_mixed_with_others(
    curves, write_results, models, tmp_path
):
    some = write_results(tmp_path / "some", models[:1], evaluation={"classes": "present"})
    found = collect(curves, some)
    assert "among the classes that occur" in found.notes[0]
    everything = write_results(tmp_path / "everything", models[1:2])
    with pytest.raises(ResultsError, match=r"some.results\.json counts answers among present classes.*among all"):
        collect(curves, some, everything)
