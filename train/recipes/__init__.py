"""Recipes: optimiser, learning rate, schedule. Values not set default to the method's (the paper's)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from train.options import option
from train.recipes.schedules import Cosine, Plateau, Schedule


@dataclass(frozen=True)
class Recipe:
    """The options that every method has for learning; None: the protocol's own value."""

    epochs: int | None = option(None, minimum=1, help="Default: the protocol's, 45 for the paper's methods.")
    batch: int | None = option(
        None, minimum=1, help="Samples of one optimiser step over all ranks. Default: the paper's, 320 or 384."
    )
    lr: float | None = option(None, above=0, help="Learning rate. Default: the protocol's.")
    optimiser: Literal["adam", "adamw", "sgd"] = option(
        "adam", help="adam: with the paper's betas .5 and .99; adamw: .9 and .999; sgd: momentum .9."
    )
    weight_decay: float = option(0.0, minimum=0, help="Of weights; biases and norms are not decayed.")
    schedule: Literal["plateau", "cosine", "constant"] = option(
        "plateau", help="plateau: divided by 5 after 3 epochs without improvement, as the paper."
    )
    warmup: float = option(0.0, minimum=0, help="Epochs in which the learning rate rises from zero.")
    label_smoothing: float = option(0.0, minimum=0, below=1, help="Of the cross-entropy, in training only.")
    clip: float | None = option(None, above=0, help="Largest norm of the gradient.")

    def require_sensible(self) -> None:
        """Raises ValueError when options exclude each other."""
        if self.optimiser == "sgd" and self.lr is None:
            raise ValueError("--optimiser sgd needs --lr: the protocol's learning rates are Adam's")
        if self.epochs is not None and self.warmup >= self.epochs:
            raise ValueError(f"--warmup {self.warmup:g} must be less than --epochs {self.epochs}")

    def filled(self, lr: float, batch: int, epochs: int) -> FullRecipe:
        """This recipe, with these numbers where none are set."""
        given = {"lr": lr, "batch": batch, "epochs": epochs}
        chosen = {name: value for name, value in vars(self).items() if value is not None}
        return FullRecipe(**given | chosen)


@dataclass(frozen=True)
class FullRecipe(Recipe):
    """A recipe with all values set."""

    lr: float = 0.0
    batch: int = 1  #: samples of one optimiser step over all ranks
    epochs: int = 1

    def make_schedule(self, plateau: Plateau) -> Schedule:
        """The chosen schedule; ``plateau`` is the method's own."""
        if self.schedule == "plateau":
            plateau.warmup = self.warmup
            return plateau
        if self.schedule == "cosine":
            return Cosine(self.lr, self.warmup, epochs=self.epochs)
        return Schedule(self.lr, self.warmup)
