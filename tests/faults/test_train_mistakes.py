"""What people type wrongly when they train: refused in a line before any work, or answered with what to do."""

import json
import pickle

import pytest
import torch

from report.cli import main as report
from shards.dataset import Dataset
from train import export, fit
from train.engine.checks import require_logits
from train.engine.job import _recipe
from train.methods import METHODS
from train.methods.base import Context
from train.networks.models import build, load_checkpoint, save_weights
from train.options import check
from train.recipes import Recipe
from train.settings import Settings


@pytest.mark.parametrize(
    ("method", "option"),
    [
        *[("finetune", name) for name in ("--lr", "--clip", "--weight-decay", "--warmup")],
        ("expert", "--alpha"), ("pretransform", "--tv-scale"), ("augmix", "--weight"), ("pretransform", "--tv"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["inf", "1e999"])
def test_infinity_is_refused_before_training(refused, training, method, option, value):
    said = refused(*training(method), option, value)
    assert said == f"Invalid value for '{option}': '{value}' is not a finite number."


def test_infinity_is_refused_from_python_too():
    for values in (Recipe(clip=float("inf")), METHODS.load("pretransform").Options(tv=10**400)):
        with pytest.raises(ValueError, match=r"(clip|tv): .* is not a finite number"):
            check(values)
    with pytest.raises(ValueError, match="lr: inf is not a finite number"):
        fit("finetune", "t", val="v", arch="resnet18", weights="none", out="o", column="clean", lr=float("inf"))


def test_infinity_is_accepted_where_it_means_something():
    given = {"val": "v", "arch": "resnet18", "weights": "none", "out": "o", "column": "clean"}
    assert Settings.of("finetune", train="t", checkpoint_minutes=float("inf"), **given)
    option = next(item for item in report.commands["choose"].params if item.name == "bytes_")
    assert option.type.convert("inf", option, None) == float("inf")


def test_augmentation_with_nothing_but_clean_pictures_is_refused(refused, training):
    arguments = training("augment", "--columns", "clean")
    at = arguments.index("--column")
    said = refused(*arguments[:at], *arguments[at + 2 :])
    assert said == "--columns clean: augmentation needs a distortion: name one"


def test_timm_without_a_network_is_named_as_it_was_typed(refused, training):
    for arch in ("timm", "timm:"):
        said = refused(*training("finetune"), "--arch", arch, "--weights", "none")
        assert said == "--arch timm: name a network of timm too, as timm:resnet50"


def test_a_selection_loss_that_is_not_finite_ends_the_run_before_its_weights_are_written(cli, training, tmp_path):
    # One step at an absurd rate: the loss of the step itself is that of the starting weights, which is fine.
    run = cli(*training("finetune", "--lr", 1e30, "--batch", 96))
    assert run.exit_code == 1
    assert "the loss is not finite in epoch 1 (select_loss " in run.output
    assert "lower --lr" in run.output
    assert "last.pt was saved before" in run.output
    assert (tmp_path / "run" / "last.pt").is_file()
    assert not (tmp_path / "run" / "best.safetensors").exists()


@pytest.fixture
def damaged(weights, tmp_path):
    """Weights whose last layer holds NaN."""
    loaded = load_checkpoint(weights)
    loaded.network.last(1)[0][1].bias.data[0] = float("nan")
    save_weights(loaded.network.net, tmp_path / "damaged.safetensors", loaded.meta)
    return tmp_path / "damaged.safetensors"


def test_damaged_starting_weights_are_noticed_before_training(cli, training, damaged):
    run = cli(*training("finetune", "--weights", damaged))
    assert run.exit_code == 1
    assert "the loss is not finite before training (select_loss nan" in run.output
    assert "the starting weights are damaged" in run.output


def test_an_evaluation_names_the_checkpoint_and_the_column_without_a_finite_answer(
    refused, weights, damaged, val_set
):
    names = "--columns", "clean,jpeg-10"
    said = refused(
        "evaluate", val_set, "--checkpoint", weights, "--checkpoint", damaged, "--out", "r.json", *names
    )
    assert said.startswith(f"{damaged} has no finite answer for key '")
    assert "in column 'clean': its weights are damaged, or its training diverged" in said


def test_progressive_is_refused_when_its_last_column_is_never_reached(refused, training):
    arguments = training("progressive", "--columns", "clean,jpeg-10", "--every", 5, "--epochs", 5)
    arguments = [part for at, part in enumerate(arguments) if "--column" not in arguments[at - 1 : at + 1]]
    said = refused(*arguments)
    assert said == "--epochs 5 never reaches jpeg-10: 2 columns with --every 5 need 6 epochs or more"
    method = METHODS.load("progressive")
    options = method.Options(columns="clean,jpeg-10,jpeg-5", every=2)
    assert method(options, Context("resnet18")).remarks(5, 1) == []


@pytest.mark.parametrize(("epochs", "noted"), [(2, True), (3, False)])
def test_a_pretransform_that_only_reconstructs_is_noted(epochs, noted):
    method = METHODS.load("pretransform")
    (*notes,) = method(method.Options(reconstruct=20), Context("resnet18")).remarks(epochs, 10)
    assert bool(notes) == noted
    if noted:
        assert "has 20 steps, of which the first 20 only reconstruct" in notes[0]


NETWORKS = """
from torch import nn
number = 3
def noargs(): pass
def two(classes, width): pass
def nothing(classes): pass
def five(classes): return 5
def flat(classes): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, classes))
def more(classes): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, classes + 1))
def pixels(classes): return nn.Conv2d(3, classes, 1)
def large(classes): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, classes))
def odd(classes): return nn.LSTM(64, 64)
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("number", "is an int, not a function"),
        ("noargs", "called with one argument, the number of classes, but too many positional arguments"),
        ("two", "called with one argument, the number of classes, but missing a required argument: 'width'"),
        ("nothing", "the function returned nothing, not a torch.nn.Module"),
        ("five", "the function returned an int, not a torch.nn.Module"),
        ("more", "shape (1, 4), not (1, 3): one logit for each of the 3 classes of"),
        ("pixels", "shape (1, 3, 64, 64), not (1, 3): one logit for each"),
        ("large", "cannot answer a picture of 64x64 pixels: "),
        ("odd", "cannot answer a picture of 64x64 pixels: "),
    ],
)
def test_a_function_that_makes_no_classifier_is_refused(
    refused, training, val_set, tmp_path, monkeypatch, function, message
):
    (tmp_path / "mistaken_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    network = ["--arch", f"mistaken_networks:{function}", "--weights", "none"]
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    for said in (
        refused(*training("finetune"), *network),
        refused("evaluate", val_set, *network, "--out", "r.json", "--columns", "clean"),
    ):
        assert said.startswith(f"--arch mistaken_networks:{function}")
        assert message in said
        assert len(said.splitlines()) == 1


def test_a_function_in_c_is_refused_too(refused, training):
    assert "called with one argument" in refused(*training("finetune", "--arch", "os:getcwd", "--weights", "none"))


def test_a_good_function_passes_the_question_about_a_grey_picture(val_set, tmp_path, monkeypatch):
    (tmp_path / "good_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    network = build("good_networks:flat", 3).train()
    before = torch.random.get_rng_state()
    require_logits(network, Dataset(val_set), "clean")
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("imagenett", "did you mean 'imagenet'? --weights takes imagenet, none or a local file"),
        ("ImageNet", "did you mean 'imagenet'?"),
        ("None", "did you mean 'none'?"),
        ("random", "no weights at random: --weights takes imagenet, none or a local file"),
        ("s3://bucket/best.safetensors", "--weights takes imagenet, none or a local file"),
    ],
)
def test_misspelt_weights_are_answered_with_what_there_is(refused, training, given, said):
    assert said in refused(*training("finetune"), "--weights", given)


def test_a_folder_as_weights_is_answered_with_the_file_in_it(refused, training, weights, train_set, tmp_path):
    run = tmp_path / "a run"
    run.mkdir()
    (run / "best.safetensors").write_bytes(weights.read_bytes())
    said = f"{run} is a folder: give {run / 'best.safetensors'}"
    assert refused(*training("finetune"), "--weights", run) == said
    assert refused("export", run, "--out", "o.onnx") == said
    assert refused(*training("finetune"), "--weights", train_set).endswith("is a folder: give a file of weights")


class Other:
    """An object that is no tensor."""


def test_files_that_are_no_weights_get_our_own_words(refused, training, train_set, tmp_path, recwarn):
    with open(tmp_path / "results.json", "w") as file:
        json.dump({"schema": 2}, file)
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pt")
    (tmp_path / "four.pt").write_bytes(pickle.dumps(Other(), protocol=4))
    recwarn.clear()
    for file, said in {
        train_set
        / "clean"
        / "000000.tar": "is not a weights file: neither .safetensors nor written by torch.save",
        tmp_path / "results.json": "is not a weights file: neither .safetensors nor written by torch.save",
        tmp_path / "script.pt": "is refused: it holds Python objects besides tensors",
        tmp_path / "four.pt": "is refused: it holds Python objects besides tensors",
    }.items():
        answer = refused(*training("finetune"), "--weights", file)
        assert said in answer
        assert "weights_only" not in answer
    assert not [warning for warning in recwarn if "pickle" in str(warning.message)]


def test_a_quirk_of_another_method_and_an_empty_bin_are_named(refused, training):
    said = refused(*training("finetune"), "--quirks", "bn-drift")
    assert said == "quirk 'bn-drift' is one of stability; here there are early-stop, adam-reset, first-epoch"
    arguments = training("master", "--bins", "clean/")
    at = arguments.index("--column")
    said = refused(*arguments[:at], *arguments[at + 2 :])
    assert said == "bin 2 of --bins names no column, as in jpeg-10,jpeg-5"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--seed", 10**23], "Invalid value for '--seed'"),
        (["--sigma", 25], "25.0 is not in the range 0.0<=x<=1.0"),
    ],
)
def test_numbers_beyond_sense_are_refused(refused, training, given, said):
    assert said.replace(".0", "") in refused(*training("stability"), *given).replace(".0", "")


def test_mistakes_in_an_evaluation_are_refused_before_it(refused, weights, val_set, tmp_path):
    def said(*options, out="r.json"):
        return refused("evaluate", val_set, "--checkpoint", weights, "--columns", "clean", "--out", out, *options)

    assert said(out="r.csv") == "--out r.csv: results are JSON, so its name must end in .json, as r.json"
    assert said("--arch", "resnet18").startswith(
        "--arch resnet18: the checkpoints are of shufflenet_v2_x0_5; leave"
    )
    assert said("--checkpoint", "a.pt,b.pt").endswith("one file each, as in --checkpoint a.pt --checkpoint b.pt")
    assert said("--otherwise", "base") == "--otherwise is for --router headers: give it too"
    loaded = load_checkpoint(weights)
    weights = tmp_path / "expert.safetensors"
    save_weights(loaded.network.net, weights, {**loaded.meta, "trained_on": "jpeg-10"})
    assert said("--router").startswith("no expert was trained for lossless pictures, as the clean ones; there")


def test_a_master_as_checkpoint_is_answered_with_the_option_for_it(refused, weights, val_set, tmp_path):
    loaded = load_checkpoint(weights)
    file = tmp_path / "master.safetensors"
    save_weights(loaded.network.net, file, {**loaded.meta, "method": "master"})
    said = refused("evaluate", val_set, "--checkpoint", file, "--out", "r.json")
    assert said.endswith(f"is a master, which chooses among checkpoints: --router switched --master {file}")
    assert load_checkpoint(str(file)).arch == loaded.arch


def test_weights_without_a_description_are_exported_by_the_name_of_their_network(refused, tmp_path):
    bare = tmp_path / "bare.pt"
    torch.save(build("master", 3).net.state_dict(), bare)
    assert refused("export", bare, "--out", "o.pt2") == f"{bare} does not name its network: name it with --arch"
    file = export(bare, tmp_path / "a" / "new folder" / "o.pt2", arch="master", side=64)
    assert torch.export.load(file).module()(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape == (1, 3)


def test_what_a_method_cannot_use_is_said(refused, training):
    assert refused(*training("deepcloak", "--column", "clean")).startswith("--column clean: DeepCloak compares a")
    settings = Settings.of(
        "batchnorm", train="t", val="v", arch="resnet18", weights="w", out="o", column="jpeg-10", lr=0.1
    )
    _, notes = _recipe(settings, METHODS.load("batchnorm")(settings.options, Context("resnet18")))
    assert notes == ["--lr has no effect: batchnorm trains no weights by gradients"]
