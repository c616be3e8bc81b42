"""One network told codec and quality, and distortion that grows as training proceeds."""

from types import SimpleNamespace

import pytest
import torch

from distort.codecs.headers import LOSSLESS, Header
from train.engine.distributed import World
from train.engine.step import Stepper
from train.methods.base import Context
from train.methods.conditioned import Conditioned
from train.methods.progressive import Progressive
from train.methods.reads import Mixture
from train.networks import models
from train.networks.network import ModelError

pytestmark = pytest.mark.slow

CPU = World(0, 1, torch.device("cpu"))
ARCH = "shufflenet_v2_x0_5"
HEADERS = [Header("jpeg", 10), Header("bpg", 41), Header(LOSSLESS, None), Header("webp", None)]


def batch_of(seed=0):
    numbers = torch.Generator().manual_seed(seed)
    images = {"mixture": torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=numbers)}
    teacher = torch.randn(4, 5, generator=numbers).log_softmax(1).half()
    batch = SimpleNamespace(
        images=images, labels=torch.arange(4), keys=[], headers={"mixture": HEADERS}, teacher=teacher
    )
    batch.to = lambda device: batch
    return batch


def network():
    torch.manual_seed(0)
    return models.build(ARCH, 5)


@pytest.mark.parametrize("form", ["film", "blend"])
def test_it_starts_as_the_network_inside_whatever_the_header(form):
    batch, plain = batch_of(), network().eval()
    made = models.wrap("conditioned", network(), codecs="bpg,jpeg", form=form).eval()
    assert torch.allclose(made.answer(batch, "mixture"), plain(batch.images["mixture"]), atol=1e-4)
    assert torch.equal(made(batch.images["mixture"]), plain(batch.images["mixture"]))


def test_what_it_is_told():
    made = models.wrap("conditioned", network(), codecs="bpg,jpeg")
    expected = [[0, 9 / 99, 1, 0, 1], [0, 10 / 51, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert torch.allclose(made.told(HEADERS), torch.tensor(expected))


@pytest.mark.parametrize("form", ["film", "blend"])
def test_it_learns_to_answer_by_the_header_and_is_rebuilt_from_its_weights(form, tmp_path):
    method = Conditioned(Conditioned.Options("clean,jpeg-10,bpg-41", form), Context(ARCH, batch=4))
    stepper = Stepper(network(), method, CPU, lr=2e-3)
    losses = [float(stepper.step(iter([batch_of()]))[0]["loss"]) for _ in range(8)]
    assert losses[-1] < losses[0]
    result, batch = stepper.result.eval(), batch_of()
    answers = result.answer(batch, "mixture")
    batch.headers["mixture"] = [Header("jpeg", 95)] * 4
    assert not torch.allclose(result.answer(batch, "mixture"), answers)
    models.save_weights(result.net, tmp_path / "a.safetensors", {"arch": ARCH, "network": result.description})
    loaded = models.load_checkpoint(str(tmp_path / "a.safetensors")).network.eval()
    assert loaded.codecs == ["bpg", "jpeg"]
    assert torch.equal(loaded.answer(batch, "mixture"), result.answer(batch, "mixture"))


def test_a_network_without_batch_norm_cannot_be_conditioned():
    with pytest.raises(ModelError, match="AlexNet has no batch norm to condition"):
        models.build("conditioned:alexnet", 4)


def progressive(**options):
    return Progressive(Progressive.Options("jpeg-75,jpeg-30,jpeg-10", **options), Context(ARCH, batch=4))


def test_distortion_grows_by_epochs_and_selection_reads_the_strongest():
    mixture = progressive(every=2).mixture
    assert [mixture.draw(0, epoch, "key") for epoch in range(7)] == [0, 0, 1, 1, 2, 2, 2]
    assert mixture.judged() == Mixture(("jpeg-10",))
    assert progressive().trained_on == "jpeg-10"


def test_the_loss_is_the_experts():
    method, net, batch = progressive(alpha=0.01), network().eval(), batch_of()
    losses, _ = method.losses(net, batch)
    assert torch.allclose(losses["loss"], losses["ce"] + 3.84 * losses["kl"])
    losses, _ = progressive(alpha=0.0).losses(net, batch)
    assert torch.equal(losses["loss"], losses["ce"])
