"""The base class of training methods. To add one: a subclass in its own file, a line in ``methods/__init__.py``.

A method defines its options, columns, trained parameters, losses, defaults, and which network is evaluated. It
holds no weights: those are in the *model*, an ``nn.Module`` that the engine trains, averages, and saves.
Modules here import torch only inside functions, so that ``train --help`` needs no PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from shards.console import names
from shards.registry import UnknownName, unknown
from train.methods.reads import Reads
from train.recipes.schedules import Plateau

if TYPE_CHECKING:
    from torch import Tensor, nn

    from train.feed.data import Batch
    from train.networks.network import Network

Losses = tuple[dict[str, "Tensor"], "Tensor"]
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Context:
    """The settings that a method may use besides its own options."""

    arch: str
    from_scratch: bool = False  #: the network starts with fresh weights
    quirks: frozenset[str] = frozenset()
    batch: int | None = None  #: samples of a step, if the user set it
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Defaults:
    """A method's defaults for the numbers that the recipe leaves open."""

    lr: float
    batch: int
    epochs: int
    published: bool = False  #: whether ``lr`` is the source's own for this network and column


class Method(ABC):
    """One way to train a network. The first line of a subclass's docstring is its help text."""

    title: ClassVar[str]  #: heading of its column in tables
    counts_everywhere: ClassVar[bool] = False  #: report its accuracy at every column, or only at ``trained_on``
    may_start_fresh: ClassVar[bool] = False  #: whether ``--weights none`` makes sense
    evaluated: ClassVar[bool] = True  #: whether its result predicts the dataset's classes
    quirks: ClassVar[dict[str, str]] = {}  #: where the authors' code differs from the article -> how
    example: ClassVar[str] = ""  #: options of an example in the help text
    Options: ClassVar[type]  #: a dataclass of ``train.options.option`` fields

    def __init__(self, options: Any, context: Context):
        self.options, self.context = options, context

    @property
    def trained_on(self) -> str | None:
        """The column that the network is trained for; None when there are several."""
        return getattr(self.options, "column", None)

    @property
    def new_head(self) -> bool:
        """Whether training starts with a fresh last layer."""
        return getattr(self.options, "new_head", False)

    def settings(self) -> dict[str, Scalar]:
        """The options, as used, that distinguish results of this method. Plain values."""
        return {name: value for name, value in asdict(self.options).items() if name != "column"}

    @abstractmethod
    def reads(self) -> Reads:
        """The columns that a batch holds."""

    def defaults(self) -> Defaults:
        """Learning rate, batch and epochs where the user set none."""
        return Defaults(lr=1e-4, batch=384, epochs=45)

    def plateau(self, lr: float) -> Plateau:
        """The schedule of ``--schedule plateau``."""
        return Plateau(lr)

    def check(self, network: Network) -> None:  # noqa: B027 - most methods suit every network
        """Raises ModelError when the options do not suit the network; called before anything is written."""

    def remarks(self, epochs: int, steps: int) -> list[str]:
        """Notes for the user on a training of so many epochs of ``steps`` steps each.

        Raises ValueError when it is too short for the method; called before anything is written.
        """
        return []

    def model(self, network: Network) -> nn.Module:
        """The module to train, built once from the starting network: the network, with or without extra layers."""
        return network

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """The trained parameters: dicts with ``params`` and optionally a ``scale`` of the learning rate."""
        return [{"params": list(model.parameters())}]

    def train_mode(self, model: nn.Module) -> None:
        """Put the model into training mode."""
        model.train()

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        """``(terms, logits)``: ``terms["loss"]`` is minimised, the others are its parts before weighting.

        All are float32 means over the batch; accuracy is counted on ``logits`` (batch, classes).
        """

    def targets(self, batch: Batch) -> Tensor:
        """The targets for counting accuracy, int64 (batch,)."""
        return batch.labels

    def predictor(self, model: nn.Module) -> Network:
        """The network that is evaluated and saved."""
        return model  # type: ignore[return-value]

    def cross_entropy(self, model: nn.Module, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy; with the recipe's label smoothing while training."""
        import torch.nn.functional as F

        return F.cross_entropy(logits, labels, label_smoothing=self.context.label_smoothing * model.training)


def choose_quirks(method: type[Method], protocol: str, chosen: str | None) -> frozenset[str]:
    """The quirks of a comma-separated list, or those of the protocol. Raises ValueError."""
    if chosen is None:
        return frozenset(method.quirks if protocol == "refcode" else ())
    quirks = names(chosen, "--quirks")
    for name in quirks:
        if name not in method.quirks:
            raise _unknown_quirk(name, method)
    return frozenset(quirks)


def _unknown_quirk(name: str, method: type[Method]) -> UnknownName:
    from train.methods import METHODS

    having = [other for other in METHODS.own if name in METHODS.load(other).quirks]
    if not having:
        return unknown("quirk", name, method.quirks)
    there = ", ".join(method.quirks) or "no quirks"
    return UnknownName(f"quirk '{name}' is one of {', '.join(having)}; here there are {there}")
