"""One network instead of many experts: codec and quality are inputs, the loss is the experts'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from train.methods.base import Context, Scalar
from train.methods.expert import Expert, alpha_option, teacher_option
from train.methods.reads import CLEAN, Mixture, Reads, listed
from train.options import option

if TYPE_CHECKING:
    from torch import nn

    from train.networks.network import Network


class Conditioned(Expert):
    """One network that gets codec and quality from the header, trained with the expert's loss on a mixture.

    L = mean CE(f(x̃, header), y) + weight · mean KL(softmax g(x) ‖ softmax f(x̃, header)). --form film scales and
    shifts every batch norm; blend mixes three batch norms (after Ma et al. 2023, from codec and quality instead of
    quantisation tables). --alpha 0 is fine-tuning. At the start the network computes the same as the original one.
    """

    title = "Conditioned"
    counts_everywhere = True
    example = "--columns clean,jpeg-75,jpeg-10,bpg-46 --arch resnet50 --weights imagenet --out runs/one"

    @dataclass(frozen=True)
    class Options:
        columns: str = option(help="Columns to draw from, comma-separated, as clean,jpeg-10,bpg-46.")
        form: Literal["film", "blend"] = option("film", help="How batch norm depends on the header.")
        alpha: float | None = alpha_option()
        teacher: Literal["auto", "live", "cached"] = teacher_option()

    def __init__(self, options: Any, context: Context) -> None:
        super().__init__(options, context)
        self.mixture = Mixture(listed(options.columns))

    def settings(self) -> dict[str, Scalar]:
        return {**super().settings(), "columns": self.options.columns, "form": self.options.form}

    @property
    def picture(self) -> Mixture:
        return self.mixture

    def reads(self) -> Reads:
        return Reads((self.mixture,), teacher=self.options.teacher, headers=True)

    def model(self, network: Network) -> nn.Module:
        from distort import grammar
        from train.networks.models import wrap

        names = {grammar.split(column)[-1].name for column in self.mixture.columns if column != CLEAN}
        return wrap("conditioned", network, codecs=",".join(sorted(names)), form=self.options.form)
