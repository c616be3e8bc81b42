"""Alike features: a layer should see the same in a distorted picture as in its clean crop."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from train.methods import CLEAN, Method, Reads, option


class Scaled(nn.Module):
    """What is trained: the network, and a scale of the features that the finished network does without."""

    def __init__(self, network):
        super().__init__()
        self.network, self.scale = network, nn.Parameter(torch.zeros(()))


class Alike(Method):
    """Cross-entropy on one column and the distance of a layer's features from those of the clean crop."""

    title = "Alike"
    example = "--column jpeg-10 --layer layer4 --arch resnet50 --weights imagenet --out runs/alike"

    @dataclass(frozen=True)
    class Options:
        column: str = option(help="The distortion to train for, as jpeg-10.")
        layer: str = option(help="Name of the layer whose features are compared.")
        beta: float = option(1.0, minimum=0, help="Weight of the distance.")

    def reads(self):
        return Reads((self.options.column, CLEAN))

    def model(self, network):
        network.layer(self.options.layer)  # refused now, not in the first step
        return Scaled(network)

    def predictor(self, model):
        return model.network

    def losses(self, model, batch):
        logits, distorted = model.network.taps(batch.images[self.options.column], [self.options.layer])
        _, clean = model.network.taps(batch.images[CLEAN], [self.options.layer])
        ce = self.cross_entropy(model, logits, batch.labels)
        distance = F.mse_loss(
            *(features[self.options.layer] * model.scale.exp() for features in (distorted, clean))
        )
        return {"loss": ce + self.options.beta * distance, "ce": ce, "distance": distance}, logits
