"""Data augmentation by layers, and DeepCloak."""

from types import SimpleNamespace

import pytest
import torch

from train.engine.distributed import World
from train.engine.step import Stepper
from train.methods.augment import Augment
from train.methods.base import Context
from train.methods.deepcloak import DeepCloak
from train.networks import models
from train.networks.network import ModelError

pytestmark = pytest.mark.slow

CPU = World(0, 1, torch.device("cpu"))
ARCH = "shufflenet_v2_x0_5"


def augment(layers="last:3", arch=ARCH, clean=True):
    return Augment(Augment.Options("jpeg-10,jpeg-5", layers, clean), Context(arch))


def batch_of(*names, count=6, seed=0):
    numbers = torch.Generator().manual_seed(seed)
    shape = (count, 64, 64, 3)
    images = {name: torch.randint(0, 256, shape, dtype=torch.uint8, generator=numbers) for name in names}
    labels = torch.randint(0, 4, (count,), generator=numbers)
    batch = SimpleNamespace(images=images, labels=labels, keys=[], headers={})
    batch.to = lambda device: batch
    return batch


@pytest.mark.parametrize("arch", ["alexnet", "vgg11"])
def test_the_groups_are_the_fully_connected_layers_of_vgg_and_alexnet(arch):
    network = models.build(arch, 4)
    (_, fc6), (_, fc7), (_, fc8) = network.last(3)
    assert augment("fc8", arch).chosen(network) == [fc8]
    assert augment("fc67", arch).chosen(network) == [fc6, fc7]
    assert augment("fc678", arch).chosen(network) == augment("last:3", arch).chosen(network) == [fc6, fc7, fc8]


def test_the_branch_of_vgg16_is_its_last_five_layers():
    names = [name for name, _ in models.build("vgg16", 2).last(5)]
    assert names == ["features.26", "features.28", "classifier.0", "classifier.3", "classifier.6"]


@pytest.mark.parametrize("layers", ["fc9", "last", "last:0", "last:x"])
def test_other_groups_are_refused(layers):
    with pytest.raises(ValueError, match=f"--layers {layers}: choose fc8, fc67, fc678 or last:K"):
        augment(layers)


def test_groups_of_vgg_are_refused_for_other_networks():
    with pytest.raises(ModelError, match=f"--layers fc678 is for VGG and AlexNet, but {ARCH} has no such layers"):
        augment("fc678").check(models.build(ARCH, 4))


def test_half_of_the_samples_are_clean():
    assert augment().mixture.columns == ("jpeg-10", "jpeg-5", "clean", "clean")
    assert augment(clean=False).mixture.columns == ("jpeg-10", "jpeg-5")


def test_only_the_chosen_layers_move():
    network = models.build(ARCH, 4)
    before = {name: value.clone() for name, value in network.net.state_dict().items()}
    stepper = Stepper(network, augment("last:1"), CPU, lr=1e-2)
    stepper.step(iter([batch_of("mixture")]))
    moved = {
        name for name, value in stepper.model.net.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"fc.weight", "fc.bias"}


def cloaked(percent):
    torch.manual_seed(0)
    method = DeepCloak(DeepCloak.Options("jpeg-10", percent), Context(ARCH))
    stepper = Stepper(models.build(ARCH, 4), method, CPU, lr=0.0)
    for seed in range(2):
        stepper.step(iter([batch_of("clean", "jpeg-10", seed=seed)]))
    return stepper


def test_masking_nothing_is_the_network_as_it_comes():
    torch.manual_seed(0)
    network, images = models.build(ARCH, 4), batch_of("x").images["x"]
    plain = network.eval()(images)
    assert torch.equal(cloaked(0.0).result.eval()(images), plain)
    assert not torch.equal(cloaked(50.0).result.eval()(images), plain)


def test_the_features_that_react_most_are_masked():
    stepper = cloaked(1.0)
    assert int((stepper.result.net.mask == 0).sum()) == 10  # of 1024
    torch.manual_seed(0)
    network = models.build(ARCH, 4).eval()
    score = 0
    for seed in range(2):
        batch, found = batch_of("clean", "jpeg-10", seed=seed), []
        network.net.fc.register_forward_pre_hook(lambda module, inputs, found=found: found.append(inputs[0]))
        network(batch.images["clean"]), network(batch.images["jpeg-10"])
        score = score + (found[0] - found[1]).abs().sum(0)
    assert set(score.topk(10).indices.tolist()) == set((stepper.result.net.mask == 0).nonzero()[:, 0].tolist())


def test_a_masked_network_is_rebuilt_from_its_weights(tmp_path):
    result = cloaked(20.0).result
    models.save_weights(result.net, tmp_path / "a.safetensors", {"arch": ARCH, "network": result.description})
    loaded = models.load_checkpoint(str(tmp_path / "a.safetensors")).network
    images = batch_of("x").images["x"]
    assert torch.equal(loaded.eval()(images), result.eval()(images))
