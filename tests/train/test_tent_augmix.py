"""Two baselines of today: adapting while tested (TENT), and AugMix."""

from types import SimpleNamespace

import pytest
import torch

from train.engine.distributed import World
from train.engine.step import Stepper, seed_step
from train.methods.augmix import AugMix, jensen_shannon
from train.methods.base import Context
from train.methods.finetune import FineTuning
from train.networks import models
from train.networks.network import ModelError, batch_norms
from train.networks.tent import Tent

CPU = World(0, 1, torch.device("cpu"))
ARCH = "shufflenet_v2_x0_5"


def batch_of(seed=0, count=8):
    numbers = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, generator=numbers)
    labels = torch.randint(0, 5, (count,), generator=numbers)
    batch = SimpleNamespace(images={"clean": images, "other": images // 4}, labels=labels, keys=[])
    batch.to = lambda device: batch
    return batch


def network():
    torch.manual_seed(0)
    return models.build(ARCH, 5)


def entropy(logits):
    return float(torch.distributions.Categorical(logits=logits).entropy().mean())


@torch.no_grad()
def test_tent_lowers_the_entropy_of_its_answers_and_touches_only_its_own_batch_norm():
    net, batch = network(), batch_of()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    tent = Tent(net, lr=1e-2)
    entropies = [entropy(tent.answer(batch, "clean")) for _ in range(10)]
    assert entropies[-1] < entropies[0]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    own = tent.adapted["clean"][0]
    norms = {id(p) for norm in batch_norms(own) for p in norm.parameters()}
    assert {id(p) for p in own.parameters() if p.requires_grad} == norms


@torch.no_grad()
def test_the_first_answer_is_that_of_the_batches_statistics_and_columns_adapt_apart():
    net, batch = network(), batch_of()
    tent = Tent(net, lr=1e-2)
    first = tent.answer(batch, "clean")
    for norm in batch_norms(net.eval()):
        norm.train()
        norm.momentum = 0.0
    assert torch.allclose(first, net(batch.images["clean"]), atol=1e-5)
    for _ in range(3):
        tent.answer(batch, "other")
    again = Tent(net, lr=1e-2).answer(batch, "clean")
    assert torch.allclose(again, first, atol=1e-5)
    assert not torch.allclose(tent.answer(batch, "clean"), first, atol=1e-6)


def test_tent_needs_batch_norm():
    with pytest.raises(ModelError, match="TENT adapts batch norm, and this network has none"):
        Tent(models.build("alexnet", 5))


def test_the_divergence_is_zero_of_equals_and_log_of_their_number_of_opposites():
    logits = torch.randn(4, 5)
    assert float(jensen_shannon([logits, logits])) == pytest.approx(0, abs=1e-6)
    apart = [torch.eye(3)[i].expand(4, 3) * 50 for i in range(3)]
    assert float(jensen_shannon(apart)) == pytest.approx(1.0986, abs=1e-3)


def augmix(**options):
    return AugMix(AugMix.Options(**options), Context(ARCH))


def test_weight_zero_is_fine_tuning_on_the_clean_crops_bit_for_bit():
    trained = []
    for method in (FineTuning(FineTuning.Options("clean"), Context(ARCH)), augmix(weight=0.0)):
        stepper = Stepper(network(), method, CPU, lr=1e-3)
        for step in range(2):
            seed_step(0, step)
            stepper.step(iter([batch_of(step)]))
        trained.append(stepper.model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_mix_is_another_picture_of_the_same_kind_drawn_by_the_step():
    images, mixes = batch_of().images["clean"], []
    for _ in range(2):
        torch.manual_seed(3)
        mixes.append(augmix().mixed(images))
    assert torch.equal(*mixes)
    assert mixes[0].shape == images.shape
    assert mixes[0].dtype == torch.uint8
    assert not torch.equal(mixes[0], images)
    losses, _ = Stepper(network(), augmix(), CPU, lr=1e-3).step(iter([batch_of()]))
    assert losses["js"] > 0
