"""Master and slave, the maximum of the branches, and the oracle that bounds them."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from train.engine.distributed import World
from train.engine.evaluate import Candidate
from train.engine.step import Stepper
from train.methods.base import Context
from train.methods.master import Master
from train.networks import models
from train.routing.assemble import assemble, columns_of
from train.routing.committee import DECISIONS, Committee
from train.routing.router import NoExpert, Router

pytestmark = pytest.mark.slow

CPU = World(0, 1, torch.device("cpu"))


class Table(nn.Module):
    """Logits by the first pixel of a picture: a branch, or a master, that can be anything."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.as_tensor(logits, dtype=torch.float32))

    def forward(self, images):
        return self.logits[images[:, 0, 0, 0].long()]


def pictures(count, labels=None):
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3)
    return SimpleNamespace(images={"x": images}, labels=labels, headers={})


def branches(count=3, samples=200, classes=6, seed=0):
    numbers = torch.Generator().manual_seed(seed)
    return [Table(torch.randn(samples, classes, generator=numbers) * 3) for _ in range(count)]


def right(committee, batch):
    return committee.answer(batch, "x").argmax(1) == batch.labels


@pytest.fixture
def batch():
    return pictures(200, torch.randint(0, 6, (200,), generator=torch.Generator().manual_seed(9)))


@pytest.mark.parametrize("decision", DECISIONS)
def test_with_one_branch_every_decision_is_that_branch(batch, decision):
    (only,) = branches(1)
    master = Table(torch.zeros(200, 1))
    answers = Committee([only], decision, master).answer(batch, "x")
    assert torch.allclose(answers.log_softmax(1), only(batch.images["x"]).log_softmax(1), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_oracle_is_right_where_any_branch_is_and_bounds_the_others(batch, seed):
    own = branches(seed=seed)
    oracle = right(Committee(own, "oracle"), batch)
    each = torch.stack([branch(batch.images["x"]).argmax(1) == batch.labels for branch in own])
    assert torch.equal(oracle, each.any(0))
    master = Table(torch.randn(200, 3, generator=torch.Generator().manual_seed(seed)))
    assert (right(Committee(own, "switched", master), batch) <= oracle).all()
    assert (right(Committee(own, "max"), batch) <= oracle).all()


def test_the_formulas(batch):
    own, master = branches(), Table(torch.randn(200, 3))
    p = torch.stack([branch(batch.images["x"]).softmax(1) for branch in own])
    d = master(batch.images["x"]).softmax(1)
    soft = Committee(own, "soft", master).answer(batch, "x").exp()
    assert torch.allclose(soft, torch.einsum("bk,kbc->bc", d, p), atol=1e-5)
    assert torch.allclose(Committee(own, "max").answer(batch, "x").exp(), p.amax(0), atol=1e-6)
    switched = Committee(own, "switched", master).answer(batch, "x")
    for i in (0, 17, 199):
        assert torch.equal(switched[i], own[int(d[i].argmax())](batch.images["x"])[i])


def candidate(method, number=0, seed=0, **model):
    network = Table(torch.full((200, 6), float(number)))
    return Candidate(network, {"arch": "a", "method": method, "seed": seed, "settings": {}, **model})


def masters(tmp_path, bins):
    network = models.build("master", len(bins.split("/")))
    meta = {"arch": "master", "network": network.description, "settings": {"bins": bins}}
    models.save_weights(network.net, tmp_path / "master.safetensors", meta)
    return str(tmp_path / "master.safetensors")


def test_checkpoints_become_routers_and_committees_by_method_and_seed(tmp_path):
    base = candidate("pretrained", 0, None)
    given = [base, candidate("stability", trained_on=None)]
    for seed in (0, 1):
        given += [candidate("expert", 1, seed, trained_on=column) for column in ("jpeg-10", "bpg-46")]
    master = masters(tmp_path, "clean/jpeg-10,jpeg-5/bpg-46")
    found = assemble(["headers", "switched", "oracle"], given, master, "nearest")
    assert [(c.model["method"], c.model["seed"]) for c in found] == [
        (f"router-{decision}", seed) for decision in ("headers", "switched", "oracle") for seed in (0, 1)
    ]
    router, committee = found[0].network, found[2].network
    assert isinstance(router, Router)
    assert router.columns == ["jpeg-10", "bpg-46"]
    assert committee.branches == [base.network, given[2].network, given[3].network]
    assert found[0].model["counts_everywhere"]
    assert found[0].model["settings"]["of"] == "expert"


def test_what_a_network_is_for():
    assert columns_of({"trained_on": "jpeg-10"}) == ("jpeg-10",)
    assert columns_of({"method": "augment", "settings": {"columns": "jpeg-10, jpeg-5"}}) == ("jpeg-10", "jpeg-5")
    assert columns_of({"method": "pretrained"}) == ("clean",)
    assert columns_of({"method": "stability", "settings": {}}) == ()


def test_branches_that_do_not_fit_the_master_are_named(tmp_path):
    experts = [candidate("expert", trained_on="jpeg-10"), candidate("expert", trained_on="jpeg-5")]
    with pytest.raises(
        ValueError,
        match=r"bin 'clean' needs one checkpoint for its columns, but has 0; --arch with --weights gives",
    ):
        assemble(["switched"], experts, masters(tmp_path, "clean/jpeg-10,jpeg-5"), "nearest")
    with pytest.raises(ValueError, match="bin 'jpeg-10,jpeg-5' needs one checkpoint for its columns, but has 2"):
        assemble(["soft"], experts, masters(tmp_path, "jpeg-10,jpeg-5/bpg-46"), "nearest")
    with pytest.raises(ValueError, match="--router switched needs --master FILE, which 'train master' makes"):
        assemble(["switched"], experts, None, "nearest")
    with pytest.raises(ValueError, match="two checkpoints of one method and seed are for jpeg-10"):
        assemble(["headers"], [experts[0], experts[0]], None, "nearest")
    with pytest.raises(ValueError, match="--router needs checkpoints that were trained for columns"):
        assemble(["max"], [candidate("pretrained")], None, "nearest")


def master(bins="clean/jpeg-10,jpeg-5"):
    return Master(Master.Options(bins), Context("master"))


def test_all_bins_are_drawn_equally_often():
    own = master("clean,jpeg-75,bpg-41/jpeg-10,jpeg-5")
    assert sorted(own.bin_of) == [0] * 6 + [1] * 6
    assert {name: own.mixture.columns.count(name) for name in own.mixture.columns} == {
        "clean": 2, "jpeg-75": 2, "bpg-41": 2, "jpeg-10": 3, "jpeg-5": 3,
    }  # fmt: skip


@pytest.mark.parametrize("bins", ["clean", "clean/clean", "clean/jpeg-10,clean"])
def test_bins_that_make_no_choice_are_refused(bins):
    with pytest.raises(ValueError, match="--bins needs at least two bins, each column in one of them"):
        master(bins)


def test_a_master_learns_to_tell_bins_apart():
    own = master()
    numbers = torch.Generator().manual_seed(0)
    drawn = torch.randint(0, len(own.bin_of), (32,), generator=numbers)
    images = torch.randint(0, 256, (32, 56, 56, 3), dtype=torch.uint8, generator=numbers)
    flat = torch.tensor(own.bin_of)[drawn] == 1
    images[flat] = images[flat] // 64 * 64 + 20
    batch = SimpleNamespace(images={"mixture": images}, drawn={"mixture": drawn}, keys=[], labels=drawn)
    batch.to = lambda device: batch
    torch.manual_seed(0)
    stepper = Stepper(models.build("master", 10), own, CPU, lr=1e-3)
    for _ in range(30):
        stepper.step(iter([batch]))
    assert stepper.result.description == {"kind": "master", "name": "master", "classes": 2}
    with torch.no_grad():
        _, logits = own.losses(stepper.model.eval(), batch)
    assert (logits.argmax(1) == own.targets(batch)).float().mean() > 0.9


def test_a_master_may_be_any_network_and_keeps_its_weights():
    network = models.build("shufflenet_v2_x0_5", 10)
    made = master().model(network)
    assert made.net.fc.out_features == 2
    assert torch.equal(made.net.conv1[0].weight, network.net.conv1[0].weight)


def test_a_column_that_no_expert_is_for_is_refused_before_anything_is_read():
    given = [candidate("expert", trained_on="jpeg-10")]
    (router,) = assemble(["headers"], given, None, "nearest", ["jpeg-10", "jpeg-75"])
    assert router.network.columns == ["jpeg-10"]
    with pytest.raises(NoExpert, match="no expert was trained for bpg-41"):
        assemble(["headers"], given, None, "nearest", ["jpeg-10", "bpg-41"])
    with pytest.raises(NoExpert, match="no expert was trained for lossless pictures, as the clean ones;"):
        assemble(["headers"], given, None, "error", ["noise-20"])


def test_methods_that_do_not_fit_the_master_are_left_out_with_a_note(tmp_path, capsys):
    given = [candidate("pretrained", seed=None), candidate("expert", trained_on="jpeg-10"),
             candidate("finetune", trained_on="bpg-46"),
             candidate("consistency", settings={"columns": "jpeg-10,jpeg-5"})]  # fmt: skip
    found = assemble(["switched"], given, masters(tmp_path, "clean/jpeg-10,jpeg-5"), "nearest")
    assert [c.model["settings"]["of"] for c in found] == ["expert"]
    said = "note: --router switched leaves out checkpoints: the master's bin 'jpeg-10,jpeg-5' needs one checkpoint"
    assert said in capsys.readouterr().err
