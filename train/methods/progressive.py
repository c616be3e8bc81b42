"""Progressive distortion: from mild to strong as training proceeds (EURASIP JIVP 2024:31)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from train.methods.base import Context, Scalar
from train.methods.expert import Expert, alpha_option, teacher_option
from train.methods.reads import Mixture, listed
from train.options import option

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Rising(Mixture):
    """The columns one after another, ``every`` epochs each, then the last one. Selection reads the last one."""

    every: int = 1

    def draw(self, seed: int, epoch: int, key: str) -> int:
        return min(epoch // self.every, len(self.columns) - 1)

    def judged(self) -> Mixture:
        return Mixture(self.columns[-1:], self.name)


class Progressive(Expert):
    """Expert training with distortion that grows during training (advanced fine-tuning, EURASIP JIVP 2024:31).

    The article's three procedures: progressive (--alpha 0), the regularised one (train expert) and both together
    (the default). The abstract gives no details: columns, epochs at each and the term's form are ours.
    """

    title = "Progressive"
    example = "--columns jpeg-75,jpeg-30,jpeg-10 --every 5 --arch resnet50 --weights imagenet --out runs/pr"

    @dataclass(frozen=True)
    class Options:
        columns: str = option(help="Mild to strong, comma-separated; the network is trained for the last.")
        every: int = option(1, minimum=1, help="Epochs at each of them.")
        alpha: float | None = alpha_option()
        teacher: Literal["auto", "live", "cached"] = teacher_option()

    def __init__(self, options: Any, context: Context) -> None:
        self.mixture = Rising(listed(options.columns), every=options.every)
        super().__init__(options, context)

    def remarks(self, epochs: int, steps: int) -> list[str]:
        """Raises ValueError when the last column is never reached."""
        stages, every = len(self.mixture.columns), self.options.every
        needed = (stages - 1) * every + 1
        if epochs < needed:
            raise ValueError(
                f"--epochs {epochs} never reaches {self.trained_on}: {stages} columns with --every {every} need "
                f"{needed} epochs or more"
            )
        return super().remarks(epochs, steps)

    @property
    def trained_on(self) -> str:
        return self.mixture.columns[-1]

    def settings(self) -> dict[str, Scalar]:
        return {**super().settings(), "columns": self.options.columns, "every": self.options.every}

    @property
    def picture(self) -> Mixture:
        return self.mixture
