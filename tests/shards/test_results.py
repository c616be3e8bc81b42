"""results.json: what is written is read back, and nothing else is believed."""

import copy
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards import results
from shards.results import ResultsError

MODEL = {
    "arch": "resnet50", "method": "expert", "trained_on": "jpeg-10", "seed": 0, "protocol": "paper",
    "weights_sha256": "a" * 64, "title": "Expert", "counts_everywhere": False,
    "settings": {"lr": 1e-5, "flip": False},
}  # fmt: skip
SCORE = {"n": 4, "top1": 0.5, "top1_interval": [0.15, 0.85], "top5": 1.0, "top5_interval": [0.5, 1.0], "loss": 1.2}
DATASET = {"path": "val", "plan": "p", "samples": 4}
SAMPLES = pa.table({"key": list("abcd"), "label": [0, 1, 0, 1], "jpeg-10": [True, False, True, False]})


def contents(**changed):
    return {"schema": 2, "dataset": DATASET, "evaluation": {}, "results": [
        {"model": MODEL, "columns": {"jpeg-10": SCORE}, "samples": "results.0.parquet"}]} | changed  # fmt: skip


def test_what_is_written_is_read_back(tmp_path):
    out = tmp_path / "new" / "results.json"
    results.write(
        out, DATASET, [{"model": MODEL, "columns": {"jpeg-10": SCORE}}], [SAMPLES], {"precision": "float32"}
    )
    read = results.load(out)
    assert (read.plan, read.samples, read.evaluation) == ("p", 4, {"precision": "float32"})
    (result,) = read.results
    assert vars(result.model) == MODEL
    assert result.columns["jpeg-10"].top1_interval == (0.15, 0.85)
    assert results.read_samples(out.with_name(result.samples)).equals(SAMPLES)
    assert sorted(file.name for file in out.parent.iterdir()) == ["results.0.parquet", "results.json"]


def test_fewer_results_leave_no_answers_of_an_earlier_evaluation(tmp_path):
    result = {"model": MODEL, "columns": {"jpeg-10": SCORE}}
    for count in (3, 1):
        results.write(tmp_path / "results.json", DATASET, [result] * count, [SAMPLES] * count)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["results.0.parquet", "results.json"]


def test_schema_1_is_read_with_the_titles_and_scopes_that_it_left_out(tmp_path):
    old = {name: MODEL[name] for name in ("arch", "weights_sha256", "seed", "protocol")}
    scopes = {"pretrained": (None, True), "stability": ("clean", True), "finetune": ("jpeg-10", False)}
    models = [old | {"method": method, "trained_on": on} for method, (on, _) in scopes.items()]
    text = contents(schema=1, results=[{"model": model, "columns": {}} for model in models])
    (tmp_path / "results.json").write_text(json.dumps(text))
    read = [result.model for result in results.load(tmp_path / "results.json").results]
    assert [(model.title, model.counts_everywhere) for model in read] == [
        ("Pre-trained", True), ("Stability", True), ("Fine-tuned", False)]  # fmt: skip
    assert read[0].settings == {}


def change(place, value):
    def apply(made):
        *path, last = place
        for step in path:
            made = made[step]
        made[last] = value

    return apply


RESULT, COLUMN = ("results", 0), ("results", 0, "columns", "jpeg-10")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((*RESULT, "model", "arch"), None, "'arch' is None, not a string of printable"),
        ((*RESULT, "model", "seed"), "0", "'seed' is '0', not a whole number"),
        ((*RESULT, "model", "counts_everywhere"), "no", "neither true nor false"),
        ((*RESULT, "model", "settings"), {"quirks": ["a"]}, "setting 'quirks'"),
        ((*RESULT, "samples"), "../../x.parquet", "not the name of a .parquet file beside it"),
        ((*COLUMN, "n"), -5, "'n' is -5"),
        ((*COLUMN, "n"), True, "'n' is True"),
        ((*COLUMN, "top1"), None, "'top1' is missing"),
        ((*COLUMN, "top1"), 73.1, "'top1' is 73.1, not a fraction"),
        ((*COLUMN, "top5"), 7, "'top5' is 7, not a fraction"),
        ((*COLUMN, "top5"), 0.25, "top5 0.25 is below top1 0.5"),
        ((*COLUMN, "top1_interval"), [-5, 7], "not an interval of fractions around 0.5"),
        ((*COLUMN, "top1_interval"), [0.6, 0.8], "not an interval of fractions around 0.5"),
        ((*COLUMN, "top1_interval"), 3, "not two numbers"),
        ((*COLUMN, "loss"), float("inf"), "Infinity is not a number"),
        ((*COLUMN, "loss"), -1, "'loss' is -1"),
        (("dataset", "plan"), 5, "'plan' is 5, not a string of printable"),
        (("dataset",), [], "'dataset' is missing or not an object"),
        (("results",), {}, "'results' is not a list"),
        (("results",), [[]], r"results\[0\]: is not an object"),
        (("schema",), 99, "does not have schema 1 or 2"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_its_place(tmp_path, place, value, message):
    made = copy.deepcopy(contents())
    change(place, value)(made)
    file = tmp_path / "results.json"
    file.write_text(json.dumps(made))
    with pytest.raises(ResultsError, match=message) as error:
        results.load(file)
    assert str(error.value).startswith(str(file))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000, '{"schema": 2}', "\udcff"])
def test_a_damaged_file_is_one_line(tmp_path, text):
    (tmp_path / "results.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ResultsError, match=r"results\.json") as error:
        results.load(tmp_path / "results.json")
    assert "\n" not in str(error.value)


def test_scores_that_are_not_those_of_the_samples_are_refused_before_anything_is_written(tmp_path):
    wrong = {"model": MODEL, "columns": {"jpeg-10": SCORE | {"top1": 0.75, "top1_interval": [0.3, 0.95]}}}
    with pytest.raises(ResultsError, match=r"0\.75 of 4, but its per-sample answers have 2 right of 4"):
        results.write(tmp_path / "results.json", DATASET, [wrong], [SAMPLES])
    assert not list(tmp_path.iterdir())


def test_pipes_and_devices_are_refused_not_read(tmp_path):
    os.mkfifo(tmp_path / "results.json")
    (file,) = results.find([tmp_path])
    with pytest.raises(ResultsError, match="not a regular file"):
        results.load(file)
    (tmp_path / "results.0.parquet").symlink_to("/dev/zero")
    with pytest.raises(ResultsError, match="not a regular file"):
        results.read_samples(tmp_path / "results.0.parquet")


def test_a_damaged_per_sample_file_is_named(tmp_path):
    file = tmp_path / "results.0.parquet"
    with pytest.raises(ResultsError, match=r"results\.0\.parquet is missing"):
        results.read_samples(file)
    file.write_bytes(b"PAR1 cut off")
    with pytest.raises(ResultsError, match="is damaged"):
        results.read_samples(file)
    pq.write_table(pa.table({"key": ["a", "a"], "clean": [True, True]}), file)
    with pytest.raises(ResultsError, match="the same key twice"):
        results.read_samples(file)
