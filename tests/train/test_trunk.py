"""Branches that begin alike: the trunk runs once, and the answers are those of whole networks."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from train.methods.augment import Augment
from train.methods.base import Context
from train.networks import models
from train.networks.network import Network
from train.routing.committee import DECISIONS, Committee
from train.routing.trunk import share

pytestmark = pytest.mark.slow

SIDE = 64


def branches(arch="shufflenet_v2_x0_5", layers="last:1", count=3):
    """Networks that differ in the layers that ``train augment --layers`` trains, as after training."""
    torch.manual_seed(0)
    method = Augment(Augment.Options("jpeg-10", layers), Context(arch))
    first = models.build(arch, 5).eval()
    first.input_size = SIDE
    found = [first]
    for _ in range(1, count):
        other = copy.deepcopy(first)
        for layer in method.chosen(other):
            for parameter in layer.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
        found.append(other)
    return found


def counted(networks):
    """Calls of every first convolution, by network."""
    calls = [0] * len(networks)
    for i, network in enumerate(networks):
        first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
        first.register_forward_hook(lambda *_, i=i: calls.__setitem__(i, calls[i] + 1))
    return calls


@pytest.fixture
def batch():
    numbers = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (7, SIDE, SIDE, 3), dtype=torch.uint8, generator=numbers)
    labels = torch.randint(0, 5, (7,), generator=numbers)
    return SimpleNamespace(images={"x": images}, labels=labels, headers={})


@pytest.mark.parametrize("decision", DECISIONS)
def test_the_trunk_runs_once_and_the_answers_are_those_of_whole_networks(batch, decision):
    own = branches()
    master = models.build("master", 3).eval()
    committee = Committee(own, decision, master).eval()
    assert committee.shared is not None
    calls = counted(own)
    with torch.no_grad():
        found = committee.answer(batch, "x")
        assert calls == [1, 0, 0]
        committee.shared = None
        wanted = committee.answer(batch, "x")
    if decision == "switched":  # whole networks would see smaller batches
        assert torch.allclose(found, wanted, atol=1e-6)
    else:
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("arch", "layers", "trunk"),
    [
        ("resnet18", "last:1", ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]),
        ("mnasnet0_5", "last:1", ["layers"]),
        ("shufflenet_v2_x0_5", "last:2", ["conv1", "maxpool", "stage2", "stage3", "stage4"]),
    ],
)
def test_as_much_is_shared_as_is_equal(batch, arch, layers, trunk):
    own = branches(arch, layers, 2)
    shared = share(own)
    names = {id(module): name for name, module in own[0].net.named_modules()}
    assert [names[id(layer)] for layer in shared.layers][: len(trunk)] == trunk
    with torch.no_grad():
        features = shared.trunk(batch.images["x"])
        for head, whole in zip(shared.heads, own, strict=True):
            assert torch.equal(head(features), whole(batch.images["x"]))


def test_heads_share_the_weights_of_the_branches():
    own = branches(count=2)
    shared = share(own)
    assert shared.heads[1].fc.weight is own[1].net.fc.weight
    assert sum(p.numel() for p in shared.parameters()) < 1.1 * sum(p.numel() for p in own[0].parameters())


def test_networks_that_begin_otherwise_run_whole():
    own = branches(count=2)
    next(own[1].parameters()).data += 1e-3
    assert share(own) is None
    assert share(branches(count=2)[:1]) is None
    own = branches(count=2)
    own[1].mean += 1
    assert share(own) is None
    assert share([*branches(count=1), *branches("resnet18", count=1)]) is None


class Skips(nn.Module):
    """A network that uses what comes before its second layer once more, outside of any layer."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x):
        x = self.a(x)
        return self.fc((self.b(x) + x).mean((2, 3)))


def test_a_network_that_cannot_be_split_runs_whole():
    torch.manual_seed(0)
    first = Network(Skips(), input_size=SIDE).eval()
    other = copy.deepcopy(first)
    other.net.fc.bias.data += 1
    assert share([first, other]) is None
