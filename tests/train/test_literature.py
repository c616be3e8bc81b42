"""The systems of the literature from the command line to one results file: they train, and stand side by side."""

import pytest
import torch

from train.feed.data import Source, Stream
from train.feed.slices import Run, evaluation
from train.feed.workers import batches
from train.methods.reads import Mixture

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_what_the_headers_say(val_set, workers):
    source = Source(str(val_set), ("clean", Mixture(("jpeg-10", "clean"))), headers=True)
    with batches(Stream(source, evaluation([Run(0, 0, 12)], rank=0, ranks=1, batch=6)), workers) as feed:
        for batch in feed:
            assert [str(header) for header in batch.headers["clean"]] == ["lossless"] * 6
            drawn = ["lossless" if index else "jpeg-10" for index in batch.drawn["mixture"].tolist()]
            assert [str(header) for header in batch.headers["mixture"]] == drawn
            assert batch.images["mixture"].shape == (6, 64, 64, 3)


@pytest.fixture(scope="module")
def train(cli, train_set, val_set, weights, tmp_path_factory):
    """Train one method for an epoch; its run folder."""
    root = tmp_path_factory.mktemp("runs")

    def run(method, *options, name=None, start=("shufflenet_v2_x0_5", weights)):
        out = root / (name or method)
        done = cli(
            method, train_set, "--val", val_set, "--arch", start[0], "--weights", start[1], "--epochs", 1,
            "--batch", 16, "--holdout", 0.1, "--lr", 1e-3, "--workers", 0, "--test-columns", "none", "--out", out,
            *options,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        return out / "last.safetensors"

    return run


@pytest.fixture(scope="module")
def evaluate(cli, val_set, read_json, tmp_path_factory):
    """Evaluate with these options; the result by method."""
    out = tmp_path_factory.mktemp("results") / "results.json"

    def run(*options):
        done = cli("evaluate", val_set, "--workers", 0, "--out", out, *options)
        assert done.exit_code == 0, done.output
        return {result["model"]["method"]: result for result in read_json(out)["results"]}

    return run


@pytest.mark.parametrize("block", [(), ("--rmb",)])
def test_feature_consistency_trains_and_is_evaluated_on_every_column(train, evaluate, block):
    file = train("consistency", "--columns", "jpeg-10,j2k-75", *block, name=f"consistency{len(block)}")
    found = evaluate("--checkpoint", file)["consistency"]
    assert set(found["columns"]) == {"clean", "jpeg-10", "j2k-75"}
    assert found["model"]["counts_everywhere"]


def test_routers_masters_and_the_oracle_stand_beside_their_experts(train, evaluate, weights):
    experts = [train("finetune", "--column", column, name=column) for column in ("jpeg-10", "j2k-75")]
    master = train("master", "--bins", "clean/jpeg-10/j2k-75", start=("master", "none"))
    options = [part for file in experts for part in ("--checkpoint", file)]
    options += ["--arch", "shufflenet_v2_x0_5", "--weights", weights, "--master", master, "--router"]
    for decision in ("switched", "soft", "max", "oracle"):
        options += ["--router", decision]
    found = evaluate(*options)
    top1 = {name: {c: r["top1"] for c, r in result["columns"].items()} for name, result in found.items()}
    own = evaluate("--checkpoint", experts[0])["finetune"]["columns"]["jpeg-10"]["top1"]
    assert top1["router-headers"]["jpeg-10"] == own
    assert top1["router-headers"]["clean"] == top1["pretrained"]["clean"]
    for decision in ("switched", "max", "headers"):
        for column in ("clean", "jpeg-10", "j2k-75"):
            assert top1[f"router-{decision}"][column] <= top1["router-oracle"][column]
    assert found["router-headers"]["model"]["title"] == "Router"


def test_augmentation_and_deepcloak_run(train, evaluate):
    files = [train("augment", "--columns", "jpeg-10,j2k-75"), train("deepcloak", "--column", "jpeg-10")]
    found = evaluate(*(part for file in files for part in ("--checkpoint", file)))
    assert set(found) == {"augment", "deepcloak"}


@pytest.mark.parametrize("form", ["film", "blend"])
def test_one_network_for_all_columns(train, evaluate, form):
    options = ("--columns", "clean,jpeg-10,j2k-75", "--form", form)
    found = evaluate("--checkpoint", train("conditioned", *options, name=f"one-{form}"))["conditioned"]
    assert found["model"]["settings"]["form"] == form
    assert set(found["columns"]) == {"clean", "jpeg-10", "j2k-75"}


def test_progressive_distortion(train, evaluate):
    file = train("progressive", "--columns", "clean,j2k-75,jpeg-10", "--epochs", 3)
    assert evaluate("--checkpoint", file)["progressive"]["model"]["trained_on"] == "jpeg-10"


def test_tent_stands_beside_the_network_that_it_adapts(evaluate, weights):
    found = evaluate("--arch", "shufflenet_v2_x0_5", "--weights", weights, "--tent", "--batch", 13)
    assert set(found) == {"pretrained", "tent"}
    assert found["tent"]["model"]["title"] == "TENT"
    assert found["tent"]["model"]["settings"]["tent_batch"] == 13
    assert found["tent"]["columns"]["jpeg-10"]["loss"] != found["pretrained"]["columns"]["jpeg-10"]["loss"]


def test_augmix_trains(train, evaluate):
    assert evaluate("--checkpoint", train("augmix"))["augmix"]["model"]["counts_everywhere"]


@pytest.mark.parametrize("workers", [0, 2])
def test_distortions_made_while_reading_are_those_that_the_distorter_stores(val_set, workers):
    names = ("jpeg-10", "j2k-75")
    sources = [Source(str(val_set), (Mixture(names, online=online),), headers=online) for online in (True, False)]
    found = []
    for source in sources:
        with batches(Stream(source, evaluation([Run(0, 0, 12)], rank=0, ranks=1, batch=12)), workers) as feed:
            (batch,) = list(feed)
            found.append(batch.apply(torch.clone))
    assert torch.equal(found[0].images["mixture"], found[1].images["mixture"])
    assert set(found[0].drawn["mixture"].tolist()) == {0, 1}
    assert [str(h) for h in found[0].headers["mixture"]] == [names[i] for i in found[0].drawn["mixture"]]


def test_noise_made_while_reading_is_drawn_anew_in_every_epoch_and_the_same_again(val_set):
    pictures = []
    for epoch in (0, 1, 0):
        source = Source(str(val_set), (Mixture(("noise-20",), online=True),))
        order = evaluation([Run(0, 0, 4)], rank=0, ranks=1, batch=4)
        with batches(Stream(source, order, epoch=epoch)) as feed:
            pictures += [batch.images["mixture"].clone() for batch in feed]
    assert torch.equal(pictures[0], pictures[2])
    assert not torch.equal(pictures[0], pictures[1])


def test_feature_consistency_with_qualities_that_no_column_has(train, cli, train_set, val_set, weights):
    train("consistency", "--columns", "jpeg-5,jpeg-37,jpeg-95", "--online", "--rmb", name="online")
    done = cli("consistency", train_set, "--val", val_set, "--columns", "jpg-5", "--online",
               "--arch", "shufflenet_v2_x0_5", "--weights", weights, "--out", "nowhere")  # fmt: skip
    assert done.exit_code != 0
    assert "unknown distortion 'jpg-5': did you mean 'jpeg-5'" in done.output
