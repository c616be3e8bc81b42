"""Receptive fields against those of the article and against the gradient."""

import pytest
import torch

from train.networks import models
from train.networks.network import ModelError
from train.networks.receptive import receptive_field

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("arch", "side"), [("alexnet", 19), ("vgg16", 6), ("resnet18", 11)])
def test_after_the_first_max_pooling(arch, side):
    assert receptive_field(models.build(arch, 2)) == side


def test_it_is_the_part_of_the_picture_that_moves_a_feature():
    network = models.build("vgg11", 2).eval()
    images = torch.randint(0, 256, (16, 64, 64, 3)).float().requires_grad_()
    _, found = network.taps(images, ["features.3"])
    (moved,) = torch.autograd.grad(found["features.3"][:, :, 8, 8].sum(), images)
    rows = (moved.abs().sum((0, 2, 3)) > 0).nonzero()[:, 0]
    assert int(rows.max() - rows.min()) + 1 == receptive_field(network, "features.3") == 8


def test_a_network_without_max_pooling_needs_a_layer():
    network = models.build("mnasnet0_5", 2)
    with pytest.raises(ModelError, match=r"MNASNet has no max-pooling: name a layer, as layers\."):
        receptive_field(network)
    assert receptive_field(network, "layers.0") == 3
