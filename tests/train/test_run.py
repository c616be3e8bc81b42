"""A training from the command line: what it leaves and what it says."""

import csv
import importlib.metadata
import json

import pytest
import torch

from distort.codecs import decode
from shards.dataset import Dataset
from train.engine import checkpoint
from train.engine.checks import at_chance
from train.engine.step import Average
from train.feed.reading import survey
from train.networks.network import Network

ARCH = "shufflenet_v2_x0_5"


def metrics(out):
    with (out / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_folder_holds_what_is_needed_to_believe_and_to_repeat_it(cli, training, tmp_path, read_json):
    result = cli(*training("expert", "--epochs", 2, "--test-columns", "all"))
    assert result.exit_code == 0, result.output
    out = tmp_path / "run"
    config = read_json(out / "config.json")
    assert (config["method"], config["column"], config["seed"], config["lr"]) == ("expert", "jpeg-10", 0, 1e-3)
    assert len(config["starting_weights"]) == 64
    environment = read_json(out / "environment.json")
    assert environment["libraries"]["torch"] == importlib.metadata.version("torch")
    rows = metrics(out)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    for row in rows[1:]:
        assert float(row["train_loss"]) == pytest.approx(
            float(row["train_ce"]) + 0.01 * 384 * float(row["train_kl"]), rel=1e-5
        )
    assert {"last.pt", "last.safetensors", "best.safetensors", "finished", "tensorboard"} <= {
        p.name for p in out.iterdir()
    }
    assert any((out / "tensorboard").iterdir())
    results = read_json(out / "results.json")["results"]
    assert results[0]["model"]["trained_on"] == "jpeg-10"
    assert results[0]["model"]["method"] == "expert"
    assert set(results[0]["columns"]) == {"clean", "jpeg-10", "j2k-75"}
    assert (out / "best.safetensors").stat().st_mode & 0o044


def test_learning_lowers_the_loss(cli, training, tmp_path):
    cli(*training("finetune", "--epochs", 4))
    losses = [float(row["train_loss"]) for row in metrics(tmp_path / "run")[1:]]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("objective", ["finetune", "expert", "stability", "batchnorm"])
@pytest.mark.parametrize("protocol", ["paper", "refcode"])
def test_every_objective_trains_under_every_protocol(cli, training, tmp_path, objective, protocol):
    result = cli(*training(objective, "--protocol", protocol, "--seed", 1))
    assert result.exit_code == 0, result.output
    assert metrics(tmp_path / "run")[-1]["epoch"] == "1"


@pytest.mark.parametrize(
    "options",
    [["--amp", "bf16"], ["--ema", 0.9], ["--flip"], ["--accumulate", 2], ["--select-on", "validation"]],
    ids=lambda options: options[0],
)
def test_the_options_of_the_loop(cli, training, tmp_path, options):
    result = cli(*training("expert", *options))
    assert result.exit_code == 0, result.output
    assert float(metrics(tmp_path / "run")[-1]["train_loss"]) > 0


def test_the_paper_selects_on_validation_and_counts_all_of_it(cli, training, tmp_path, val_set):
    cli(*training("finetune", "--select-on", "validation"))
    top1 = float(metrics(tmp_path / "run")[-1]["select_top1"]) * survey(Dataset(val_set), ["clean"]).samples
    assert top1 == pytest.approx(round(top1), abs=1e-9)


def test_training_again_gives_the_same_weights_and_another_seed_gives_others(cli, training, tmp_path, state_of):
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        cli(*training("finetune", "--seed", seed, out=out))
    a, b, c = (state_of(tmp_path / name / "last.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_workers_change_who_reads_what_and_nothing_else(cli, training, tmp_path):
    result = cli(*training("finetune", "--workers", 2))
    assert result.exit_code == 0, result.output
    assert float(metrics(tmp_path / "run")[-1]["train_loss"]) > 0


def test_the_log_has_images_per_second_waiting_losses_by_name_and_eta(cli, training, monkeypatch):
    monkeypatch.setattr("shards.console.LOG_EVERY", 0.0)
    monkeypatch.setattr("train.engine.loop.CHECK_EVERY", 1)
    output = cli(*training("expert")).output
    assert "images/s, waiting" in output
    assert ", best so far\n" in output
    assert output.rstrip().endswith("best.safetensors: the weights after epoch 1")
    line = next(line for line in output.splitlines() if line.startswith("epoch 1/1: 16/"))
    for part in ("96 images", "images/s", "waiting", "loss ", "ce ", "kl ", "ETA "):
        assert part in line


def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_samples(cli, training, tmp_path, train_set):
    result = cli(*training("finetune", "--lr", 1e30, "--epochs", 3))
    assert result.exit_code == 1
    assert "the loss is not finite in epoch" in result.output
    keys = {key for key, *_ in Dataset(train_set).read("clean")}
    named = (tmp_path / "run" / "not-finite-keys-rank0.txt").read_text().split()
    assert len(named) == 16
    assert set(named) <= keys
    assert f"the batch holds {named[0]}, {named[1]}" in result.output
    assert all(
        torch.isfinite(value).all() for value in checkpoint.load(tmp_path / "run" / "last.pt")["model"].values()
    )


def test_a_profile_is_a_trace(cli, training, tmp_path):
    result = cli(*training("finetune", "--profile"))
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "run" / "trace.json").read_text())["traceEvents"]


@pytest.mark.parametrize("select_on", ["holdout", "validation"])
def test_a_class_sorted_dataset_is_mixed_sample_by_sample(
    cli, training, train_source, make_set, tmp_path, monkeypatch, select_on
):
    """Its neighbours are of one class: a shuffle buffer would train on one class after the other."""
    ordered = make_set(train_source, tmp_path / "ordered", "--keep-order", "--shard-size", 40)
    seen, forward = [], Network.forward

    def noting(self, images):
        if self.training:
            seen.append(images.clone())
        return forward(self, images)

    monkeypatch.setattr(Network, "forward", noting)
    result = cli(*training("finetune", "--select-on", select_on, train=ordered))
    assert result.exit_code == 0, result.output
    pictures = {
        decode(entry.data, entry.extension).tobytes(): label
        for _, label, entry in Dataset(ordered).read("jpeg-10")
    }
    for batch in seen:
        labels = [pictures[picture.numpy().tobytes()] for picture in batch]
        assert len(set(labels)) == 3
    assert checkpoint.load(tmp_path / "run" / "last.pt")["order"]["scattered"]


def test_several_crops_of_a_picture_are_spread_over_the_epoch(cli, training, make_tiles, make_set, tmp_path):
    crops = make_set(make_tiles(tmp_path / "source", 8, 5), tmp_path / "crops", "--crop", "random:3")
    result = cli(*training("finetune", "--holdout", 0.2, train=crops))
    assert result.exit_code == 0, result.output
    assert checkpoint.load(tmp_path / "run" / "last.pt")["order"]["scattered"]
    assert "note: selection uses 15 samples" in result.output  # 5 pictures with 3 crops each


def test_a_small_selection_says_how_uncertain_it_is(cli, training):
    result = cli(*training("finetune"))
    assert "note: selection uses 12 samples, so that its top-1 has a standard error of up to 14.4 points" in (
        result.output
    )
    assert "try a larger --holdout" in result.output


def test_advice_for_a_small_selection_fits_where_it_is_from(cli, training):
    result = cli(*training("finetune", "--select-on", "validation"))
    assert "a larger VAL helps" in result.output


def test_a_new_head_is_for_other_classes(cli, training, make_tiles, make_set, tmp_path):
    source = make_tiles(tmp_path / "source", 20, 7)
    (source / "cat" / "cat7_0.png").rename(source / "cat" / "x.png")
    (source / "dog").mkdir()
    (source / "cat" / "x.png").rename(source / "dog" / "x.png")
    root, other = (make_set(source, tmp_path / str(seed), "--seed", seed) for seed in (0, 1))
    options = ("--select-on", "validation")
    refused = cli(*training("finetune", *options, train=root, val=other))
    assert "3 classes, but the dataset has 4; 'train finetune --new-head'" in refused.output
    done = cli(*training("finetune", *options, "--new-head", train=root, val=other))
    assert done.exit_code == 0, done.output


def test_an_average_warms_up():
    """After t updates with a decay of 0.9999 the average is of the last steps, not of the starting weights."""
    student = Network(torch.nn.Linear(1, 1, bias=False))
    torch.nn.init.zeros_(student.net.weight)
    average = Average(student, 0.9999)
    torch.nn.init.ones_(student.net.weight)
    values = []
    for _ in range(100):
        average.update(student)
        values.append(float(average.model.net.weight.detach()))
    assert values[0] == pytest.approx(0.9)  # decay 1/10
    assert values[1] == pytest.approx(1 - 0.1 * 2 / 11)
    assert values[99] == pytest.approx(1, abs=1e-6)
    average.updates = 10**6
    torch.nn.init.zeros_(student.net.weight)
    average.update(student)
    assert float(average.model.net.weight.detach()) == pytest.approx(0.9999)


@pytest.mark.parametrize(
    "options",
    [["--optimiser", "adamw", "--weight-decay", 0.05, "--schedule", "cosine", "--warmup", 0.5],
     ["--optimiser", "sgd", "--clip", 1.0, "--schedule", "constant", "--label-smoothing", 0.1]],
    ids=["timm", "torchvision"],
)  # fmt: skip
def test_another_recipe_trains_and_stands_in_the_results(cli, training, tmp_path, read_json, options):
    result = cli(*training("finetune", *options, "--epochs", 2, "--test-columns", "jpeg-10"))
    assert result.exit_code == 0, result.output
    settings = read_json(tmp_path / "run" / "results.json")["results"][0]["model"]["settings"]
    expected = {name[2:].replace("-", "_"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    assert expected.items() <= settings.items()
    lrs = [float(row["lr"]) for row in metrics(tmp_path / "run")]
    assert lrs == pytest.approx([0, 5e-4, 0] if "cosine" in options else [1e-3] * 3)


def test_a_fresh_last_layer_is_fresh_even_for_as_many_classes_and_follows_the_seed(
    cli, training, tmp_path, state_of, weights, make_tiles, make_set
):
    source = make_tiles(tmp_path / "source", 20, 7)
    (source / "cat").rename(source / "tiger")
    other, val = (make_set(source, tmp_path / f"other-{seed}", "--seed", seed) for seed in (0, 1))
    refused = cli(*training("finetune", train=other, val=val))
    assert "was trained on other classes" in refused.output
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        done = cli(
            *training("finetune", "--new-head", "--seed", seed, "--lr", 1e-9, out=out, train=other, val=val)
        )
        assert done.exit_code == 0, done.output
    a, b, c = (state_of(tmp_path / name / "last.safetensors")["fc.weight"] for name in "abc")
    assert torch.equal(a, b)
    assert not torch.allclose(a, c, atol=1e-3)
    assert not torch.allclose(a, state_of(weights)["fc.weight"], atol=1e-3)


def test_weights_from_elsewhere_that_guess_are_pointed_out(cli, training, tmp_path, state_of, weights, val_set):
    state = state_of(weights)
    torch.save({**state, "fc.weight": state["fc.weight"][[1, 2, 0]]}, tmp_path / "theirs.pth")
    said = "theirs.pth: "
    result = cli(*training("finetune", "--weights", tmp_path / "theirs.pth"))
    assert "is no better than chance among 3 classes: are its classes in this dataset's order" in result.output
    assert said in result.output
    result = cli("evaluate", val_set, "--arch", ARCH, "--weights", tmp_path / "theirs.pth", "--columns", "clean",
                 "--out", tmp_path / "r.json")  # fmt: skip
    assert "is no better than chance" in result.output
    assert "no better than chance" not in cli(*training("finetune", out="own")).output


@pytest.mark.parametrize(
    ("top1", "samples", "guessing"), [(0.001, 50_000, True), (0.5, 100, False), (0.4, 30, True)]
)
def test_chance_is_within_two_standard_errors(top1, samples, guessing):
    assert at_chance(top1, samples, 3 if samples == 30 else 1000) is guessing


def test_twins_of_a_protocol_differ_in_what_only_one_of_them_has(cli, training, tmp_path, read_json):
    said = {}
    for method in ("finetune", "expert"):
        done = cli(*training(method, "--protocol", "refcode", "--test-columns", "jpeg-10", out=method))
        assert done.exit_code == 0, done.output
        said[method] = read_json(tmp_path / method / "results.json")["results"][0]["model"]["settings"]
    shared = said["finetune"].keys() & said["expert"].keys()
    assert {name: said["finetune"][name] for name in shared} == {name: said["expert"][name] for name in shared}
    assert said["expert"].keys() - shared == {"alpha"}


def test_quirks_chosen_one_by_one_stand_in_the_settings(cli, training, tmp_path, read_json):
    done = cli(*training("expert", "--quirks", "kl-sum", "--test-columns", "jpeg-10"))
    assert done.exit_code == 0, done.output
    settings = read_json(tmp_path / "run" / "results.json")["results"][0]["model"]["settings"]
    assert (settings["quirk kl-sum"], settings["quirk adam-reset"]) == (True, False)


def test_a_mixture_draws_the_same_again_and_stands_at_every_column(cli, training, tmp_path, state_of, read_json):
    def mixed(out, *options):
        arguments = [str(item) for item in training("mixture", "--columns", "jpeg-10,j2k-75", *options, out=out)]
        at = arguments.index("--column")
        return cli(*arguments[:at], *arguments[at + 2 :])

    for out in "ab":
        done = mixed(out, "--test-columns", "all")
        assert done.exit_code == 0, done.output
    a, b = (state_of(tmp_path / out / "last.safetensors") for out in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    model = read_json(tmp_path / "a" / "results.json")["results"][0]["model"]
    assert (model["title"], model["trained_on"], model["counts_everywhere"]) == ("Mixture", None, True)
    assert model["settings"]["columns"] == "jpeg-10,j2k-75"
    for columns, message in (
        ("jpeg-10,bpg-41", "has no column 'bpg-41'; it has clean, j2k-75, jpeg-10"),
        ("jpeg-10,jpeg-10", "--columns names jpeg-10 twice"),
        (",", "--columns names no column"),
    ):
        refused = mixed("refused", "--columns", columns)
        assert refused.exit_code == 1
        assert message in refused.output
