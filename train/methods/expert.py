"""Expert training (Marie et al. 2022): fine-tuning with a frozen copy on the clean crops as teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from train.methods.base import Context, Losses, Scalar
from train.methods.paper import FIRST_EPOCH, KL_SUM, SHARED_QUIRKS, PaperMethod
from train.methods.reads import Mixture, Reads
from train.options import option

if TYPE_CHECKING:
    from train.feed.data import Batch


def alpha_option() -> Any:
    """The weight of KL, for an options class."""
    return option(None, minimum=0, help="Weight of KL summed over the paper's batch. Default: the protocol's.")


def teacher_option() -> Any:
    """The source of the teacher's scores, for an options class."""
    return option("auto", help="auto: cached ('train teach') where it is, otherwise live.")


class Expert(PaperMethod):
    """Fine-tuning, with the frozen starting network's predictions on clean crops as targets (Marie et al. 2022).

    L = mean CE(f(x̃), y) + weight · mean KL(softmax g(x) ‖ softmax f(x̃)). The reference code sums KL over its
    batch; ``weight`` is alpha times that batch, so that the result does not depend on the batch used here.
    """

    title = "Expert"
    kind = "expert"
    quirks = {**KL_SUM, **SHARED_QUIRKS, **FIRST_EPOCH}
    example = "--column jpeg-10 --arch mnasnet1_0 --weights imagenet --out runs/et-jpeg-10"

    @dataclass(frozen=True)
    class Options:
        column: str = option(help="The distortion to train for, as jpeg-10.")
        alpha: float | None = alpha_option()
        teacher: Literal["auto", "live", "cached"] = teacher_option()

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self.alpha = self.numbers.alpha if options.alpha is None else options.alpha

    def settings(self) -> dict[str, Scalar]:
        return {"alpha": self.alpha}

    @property
    def picture(self) -> str | Mixture:
        """The student's input."""
        return self.options.column

    def reads(self) -> Reads:
        return Reads((self.picture,), teacher=self.options.teacher)

    def losses(self, model: Any, batch: Batch) -> Losses:
        from train.methods.terms import divergence

        logits = model.answer(batch, str(self.picture))
        ce = self.cross_entropy(model, logits, batch.labels)
        # Normalised again after rounding to float16: the error of KL is then of second order.
        assert batch.teacher is not None  # ``reads`` asks for it
        kl = divergence(batch.teacher.float().log_softmax(1), logits.log_softmax(1))
        return {"loss": ce + self.weight(self.alpha) * kl, "ce": ce, "kl": kl}, logits
