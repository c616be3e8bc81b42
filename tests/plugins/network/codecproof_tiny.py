"""A small convolutional network: ``--arch tiny:16`` is one of width 16."""

from torch import nn

from train.networks import Kind, ModelError, Network


class Tiny(Kind):
    """Three strided convolutions; grey levels are mapped to -1..1."""

    def build(self, name, classes):
        if not name.isdecimal() or not 1 <= int(name) <= 1024:
            raise ModelError(f"--arch tiny:{name}: give a width between 1 and 1024, as tiny:16")
        layers, before = [], 3
        for width in (int(name), 2 * int(name), 4 * int(name)):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
        return Network(net, mean=(0.5,) * 3, std=(0.5,) * 3)
