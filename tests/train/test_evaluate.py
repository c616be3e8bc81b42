"""Accuracy: every sample once, every column in one pass, and intervals that are what they say."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import binomtest

from distort.codecs import decode
from shards.dataset import Dataset
from train.networks import models
from train.results import column_result, wilson

pytestmark = pytest.mark.slow

COLUMNS = ["clean", "j2k-75", "jpeg-10"]


@pytest.fixture(scope="module")
def results(cli, val_set, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("results") / "results.json"
    both = ["--checkpoint", weights, "--arch", "shufflenet_v2_x0_5", "--weights", weights]
    result = cli("evaluate", val_set, *both, "--workers", 0, "--batch", 10, "--out", out)
    assert result.exit_code == 0, result.output
    return out, result


def expected_right(val_set, weights, column):
    """Key -> whether top-1 is right, and how many classes scored above the right one, one picture at a time."""

    net = models.load("shufflenet_v2_x0_5", str(weights), 3).network.eval()
    found = {}
    with torch.no_grad():
        for key, label, entry in Dataset(val_set).read(column):
            logits = net(torch.from_numpy(decode(entry.data, entry.extension).copy())[None])[0]
            loss = -logits.log_softmax(0)[label]
            found[key] = (bool(logits.argmax() == label), float(loss))
    return found


def test_every_column_is_counted_over_every_sample(results, read_json, val_set, weights):
    columns = read_json(results[0])["results"][0]["columns"]
    assert set(columns) == set(COLUMNS)
    for name, column in columns.items():
        expected = expected_right(val_set, weights, name)
        assert column["n"] == len(expected) == 39
        assert column["top1"] == pytest.approx(np.mean([right for right, _ in expected.values()]))
        assert column["loss"] == pytest.approx(np.mean([loss for _, loss in expected.values()]), rel=1e-4)
        assert column["top5"] == 1.0  # of three classes
        assert column["top1_interval"] == wilson(round(column["top1"] * 39), 39)


def test_the_answers_per_sample_lie_beside_the_results(results, read_json, val_set, weights):
    out, _ = results
    for k, result in enumerate(read_json(out)["results"]):
        assert result["samples"] == f"results.{k}.parquet"
        table = pq.read_table(out.with_name(result["samples"]))
        parts = [f"{name}{part}" for name in COLUMNS for part in ("", "/predicted", "/confidence")]
        assert table.column_names == ["key", "label", *parts]
        assert table["key"].to_pylist() == [key for key, *_ in Dataset(val_set).read("clean")]
        for name in COLUMNS:
            expected = expected_right(val_set, weights, name)
            assert table[name].to_pylist() == [expected[key][0] for key in table["key"].to_pylist()]
            predicted, right = (np.array(table[column]) for column in (f"{name}/predicted", name))
            assert np.array_equal(predicted == np.array(table["label"]), right)
            confidence = np.array(table[f"{name}/confidence"])
            assert ((confidence > 1 / 3) & (confidence <= 1)).all()


def test_the_results_name_dataset_and_models(results, read_json, val_set, weights):
    contents = read_json(results[0])
    plan = Dataset(val_set).plan
    assert contents["schema"] == 2
    assert contents["dataset"] == {"path": str(val_set), "plan": plan.hash, "samples": 39}
    identity = models.weights_sha256(models.load("shufflenet_v2_x0_5", str(weights), 3).network.net)
    trained = contents["results"][1]["model"]
    settings = trained.pop("settings")
    assert {"lr": 1e-3, "batch": 16, "epochs": 2, "holdout": 0.1, "checkpoint": "last"}.items() <= settings.items()
    assert "seed" not in settings
    assert [result["model"] for result in contents["results"]] == [
        {"arch": "shufflenet_v2_x0_5", "method": "pretrained", "trained_on": None, "seed": None, "protocol": None,
         "weights_sha256": identity, "title": "Pre-trained", "counts_everywhere": True, "settings": {}},
        {"arch": "shufflenet_v2_x0_5", "method": "finetune", "trained_on": "clean", "seed": 0, "protocol": "paper",
         "weights_sha256": identity, "title": "Fine-tuned", "counts_everywhere": False},
    ]  # fmt: skip


def test_the_table_on_the_terminal_has_a_row_per_model_and_column(results):
    rows = [line for line in results[1].output.splitlines() if "shufflenet" in line]
    assert len(rows) == 6


@pytest.mark.parametrize(("right", "n"), [(0, 10), (1, 10), (5, 10), (10, 10), (721, 1000), (36565, 50000)])
def test_intervals_are_wilsons(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, "wilson")
    assert wilson(right, n) == pytest.approx([expected.low, expected.high], abs=1e-12)


def test_top_five_counts_the_right_class_among_five():
    column = column_result(np.ones(4, np.float32), np.array([1, 0, 0, 0], bool), np.array([1, 1, 1, 0], bool))
    assert (column["n"], column["top1"], column["top5"], column["loss"]) == (4, 0.25, 0.75, 1.0)


def test_a_network_that_prefers_nothing_is_right_about_nothing(cli, val_set, tmp_path, read_json):
    classifier = models.build("shufflenet_v2_x0_5", 3)
    torch.nn.init.zeros_(classifier.net.fc.weight)
    torch.nn.init.zeros_(classifier.net.fc.bias)
    models.save_weights(classifier.net, tmp_path / "same.safetensors", {"arch": "shufflenet_v2_x0_5"})
    out = tmp_path / "results.json"
    result = cli("evaluate", val_set, "--checkpoint", tmp_path / "same.safetensors", "--columns", "clean",
                 "--workers", 0, "--out", out)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert read_json(out)["results"][0]["columns"]["clean"]["top1"] == 0


def test_a_network_without_finite_answers_is_refused(cli, val_set, tmp_path):
    classifier = models.build("shufflenet_v2_x0_5", 3)
    torch.nn.init.constant_(classifier.net.fc.bias, float("nan"))
    models.save_weights(classifier.net, tmp_path / "nan.safetensors", {"arch": "shufflenet_v2_x0_5"})
    result = cli("evaluate", val_set, "--checkpoint", tmp_path / "nan.safetensors", "--columns", "clean",
                 "--workers", 0, "--out", tmp_path / "results.json")  # fmt: skip
    assert result.exit_code == 1
    assert "has no finite answer for key" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--checkpoint", "nowhere.safetensors"], "no weights at nowhere.safetensors"),
        (["--arch", "resnet18"], "give --checkpoint FILE, or --arch NAME with --weights"),
        ([], "give --checkpoint FILE, or --arch NAME with --weights"),
        (["--arch", "shufflenet_v2_x0_5", "--weights", "none", "--columns", "bpg-41"],
         "has no column 'bpg-41'; it has clean, j2k-75, jpeg-10"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_said_in_a_line(cli, val_set, tmp_path, options, message):
    result = cli("evaluate", val_set, *options, "--out", tmp_path / "r.json")
    assert result.exit_code in (1, 2)
    assert message in result.output


def test_the_checkpoint_of_a_run_is_evaluated_like_its_weights(cli, val_set, weights, tmp_path, read_json):
    results = []
    for file in (weights, weights.with_name("last.pt")):
        done = cli("evaluate", val_set, "--checkpoint", file, "--columns", "clean", "--out", tmp_path / "r.json")
        assert done.exit_code == 0, done.output
        results.append(read_json(tmp_path / "r.json"))
    assert results[0] == results[1]


def test_weights_that_do_not_name_their_network_need_an_arch(cli, val_set, tmp_path):
    torch.save(models.build("resnet18", 3).net.state_dict(), tmp_path / "bare.pth")
    result = cli("evaluate", val_set, "--checkpoint", tmp_path / "bare.pth", "--out", tmp_path / "r.json")
    assert "does not name its network: name it with --arch" in result.output


def test_a_network_trained_on_other_classes_is_refused(cli, weights, make_tiles, make_set, tmp_path):
    source = make_tiles(tmp_path / "source", 2, 7)
    (source / "cat").rename(source / "tiger")
    root = make_set(source, tmp_path / "set")
    result = cli("evaluate", root, "--checkpoint", weights, "--out", tmp_path / "r.json")
    assert "was trained on other classes, or on the same classes in another order" in result.output


def test_answers_can_be_the_classes_of_a_subset_only(cli, weights, make_tiles, make_set, tmp_path, read_json):
    source = make_tiles(tmp_path / "source", 6, 3)
    shutil.rmtree(source / "coffee")
    (tmp_path / "classes.txt").write_text("cat\ncoffee\nrocket\n")
    subset = make_set(source, tmp_path / "subset", "--classes", tmp_path / "classes.txt")
    net = models.load("shufflenet_v2_x0_5", str(weights), 3).network.eval()
    logits, labels = [], []
    for _, label, entry in Dataset(subset).read("jpeg-10"):
        with torch.no_grad():
            logits.append(net(torch.from_numpy(decode(entry.data, entry.extension).copy())[None])[0])
        labels.append(label)
    two, right = torch.stack(logits)[:, [0, 2]], torch.tensor([label // 2 for label in labels])
    assert set(labels) == {0, 2}

    for options, said in ((["--present-classes"], "present"), ([], "all")):
        out = tmp_path / said / "results.json"
        done = cli("evaluate", subset, "--checkpoint", weights, "--columns", "jpeg-10", "--out", out, *options)
        assert done.exit_code == 0, done.output
        assert read_json(out)["evaluation"]["classes"] == said
    found = read_json(tmp_path / "present" / "results.json")["results"][0]["columns"]["jpeg-10"]
    assert found["top1"] == pytest.approx(float((two.argmax(1) == right).float().mean()))
    assert found["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(two, right)), rel=1e-4)


def test_a_training_in_bfloat16_is_judged_in_float32(cli, training, val_set, tmp_path, read_json):
    """In bfloat16 logits tie, and ties count against the network."""
    assert cli(*training("finetune", "--amp", "bf16", "--test-columns", "all")).exit_code == 0
    out = tmp_path / "again.json"
    best = tmp_path / "run" / "best.safetensors"
    done = cli("evaluate", val_set, "--checkpoint", best, "--workers", 0, "--out", out)
    assert done.exit_code == 0, done.output
    trained, evaluated = read_json(tmp_path / "run" / "results.json"), read_json(out)
    assert trained["results"][0]["columns"] == evaluated["results"][0]["columns"]
    assert trained["evaluation"]["precision"] == evaluated["evaluation"]["precision"] == "float32"


def test_results_and_teachers_know_neither_autocast_nor_tf32():
    from train.networks.precision import exact
    from train.networks.teacher import Teacher

    device, seen = torch.device("cpu"), []

    class Watching(torch.nn.Module):
        def forward(self, images):
            x = torch.ones(2, 3)
            seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, (x @ x.T).dtype))
            return x

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            Watching()(None)
            with exact(device):
                Watching()(None)
            Teacher(Watching()).log_probs(torch.zeros(2, 4, 4, 3, dtype=torch.uint8))
            Watching()(None)
    finally:
        torch.set_float32_matmul_precision(before[0])
    assert seen[0] == seen[3] == ("high", before[1], torch.bfloat16)
    assert seen[1] == seen[2] == ("highest", False, torch.float32)


def test_a_network_with_fresh_weights_is_listed_as_untrained(cli, val_set, tmp_path, read_json):
    for out in "ab":
        done = cli("evaluate", val_set, "--arch", "shufflenet_v2_x0_5", "--weights", "none", "--columns", "clean",
                   "--workers", 0, "--out", tmp_path / f"{out}.json")  # fmt: skip
        assert done.exit_code == 0, done.output
    a, b = (read_json(tmp_path / f"{out}.json")["results"][0]["model"] for out in "ab")
    assert (a["method"], a["title"], a["trained_on"]) == ("untrained", "Untrained", None)
    assert a == b
