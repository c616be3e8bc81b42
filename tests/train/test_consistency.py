"""Feature consistency training and its residual mapping block."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from distort.codecs.headers import Header
from train.engine.distributed import World
from train.engine.step import Stepper, seed_step
from train.methods.base import Context
from train.methods.consistency import DISTORTED, Consistency
from train.methods.finetune import FineTuning
from train.networks import models
from train.networks.network import ModelError
from train.networks.wrapped import quality
from train.recipes import Recipe

CPU = World(0, 1, torch.device("cpu"))
ARCH = "shufflenet_v2_x0_5"


def consistency(**options):
    return Consistency(Consistency.Options("jpeg-10,jpeg-5", **options), Context(ARCH))


def network(seed=0):
    torch.manual_seed(seed)
    return models.build(ARCH, 5)


def batch_of(seed=0, count=4, qualities=(10, 5)):
    numbers = torch.Generator().manual_seed(seed)
    shape = (count, 64, 64, 3)
    images = {
        name: torch.randint(0, 256, shape, dtype=torch.uint8, generator=numbers) for name in ("clean", DISTORTED)
    }
    labels = torch.randint(0, 5, (count,), generator=numbers)
    headers = {DISTORTED: [Header("jpeg", q) for q in qualities] * (count // 2)}
    found = SimpleNamespace(images=images, labels=labels, keys=[], headers=headers)
    found.to = lambda device: found
    return found


def test_weight_zero_is_fine_tuning_on_the_clean_crops_bit_for_bit():
    trained = []
    for method in (FineTuning(FineTuning.Options("clean"), Context(ARCH)), consistency(weight=0.0)):
        stepper = Stepper(network(), method, CPU, lr=1e-3)
        for step in range(3):
            seed_step(0, step)
            stepper.step(iter([batch_of(step)]))
        trained.append(stepper.model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_the_distance_is_the_sum_over_taps_of_the_mean_square():
    method, net, batch = consistency(weight=2.0, beta=0.5, taps="stage2,conv5"), network().eval(), batch_of()
    method.check(net)
    losses, logits = method.losses(net, batch)
    clean, own = net.taps(batch.images["clean"], ["stage2", "conv5"])
    distorted, copy = net.taps(batch.images[DISTORTED], ["stage2", "conv5"])
    distance = sum(((own[name] - copy[name]) ** 2).mean() for name in own)
    assert torch.allclose(losses["distance"], distance)
    ces = [F.cross_entropy(answer, batch.labels) for answer in (clean, distorted)]
    assert torch.allclose(losses["loss"], ces[0] + 0.5 * ces[1] + 2 * distance)
    assert torch.allclose(logits, distorted, atol=1e-5)


def test_the_gradient_through_the_clean_side_can_be_stopped():
    gradients = []
    for stop in (False, True):
        method, net = consistency(stop_gradient=stop, taps="conv5"), network().eval()
        method.check(net)
        losses, _ = method.losses(net, batch_of())
        losses["distance"].backward()
        gradients.append(net.net.conv1[0].weight.grad.clone())
    assert not torch.allclose(*gradients, atol=0)


def test_a_step_brings_the_features_together():
    method = consistency(weight=10.0)
    recipe = Recipe(optimiser="sgd", lr=1e-2)
    stepper = Stepper(network(), method, CPU, lr=1e-2, recipe=recipe)
    losses = [float(stepper.step(iter([batch_of()]))[0]["distance"]) for _ in range(6)]
    assert losses[-1] < losses[0]


def test_the_default_taps_are_the_stages():
    method = Consistency(Consistency.Options("jpeg-10"), Context("resnet18"))
    method.check(models.build("resnet18", 3))
    assert method.layers == ["layer1", "layer2", "layer3", "layer4"]


def test_a_tap_that_names_no_layer_is_refused_with_the_nearest():
    with pytest.raises(ModelError, match=r"no layer 'stage9': did you mean 'stage[234]'.*It has conv1, maxpool"):
        consistency(taps="stage9").check(network())


@pytest.mark.parametrize(
    ("columns", "said"), [(" , ", "names no column"), ("jpeg-5,jpeg-5", "names jpeg-5 twice")]
)
def test_columns_that_make_no_mixture_are_refused(columns, said):
    with pytest.raises(ValueError, match=said):
        Consistency(Consistency.Options(columns), Context(ARCH))


def test_the_block_is_the_identity_at_the_start_and_leaves_clean_crops_alone_for_ever():
    net, images = network(), batch_of().images["clean"]
    plain = net.eval()(images)
    told = torch.tensor([0.1, 0.9, torch.nan, torch.nan])
    repaired = models.wrap("rmb", net).eval()
    assert torch.equal(repaired(images, told), plain)
    torch.nn.init.normal_(repaired.net.block[-1].weight)
    answers = repaired(images, told)
    assert torch.equal(repaired(images), plain)
    assert not torch.allclose(answers[:2], plain[:2])
    assert torch.allclose(answers[2:], plain[2:], atol=1e-5)


def test_the_block_is_told_the_quality_and_its_gradient_reaches_it():
    method = consistency(rmb=True)
    stepper = Stepper(network(), method, CPU, lr=1e-2)
    for step in range(2):
        losses, _ = stepper.step(iter([batch_of(step)]))
    assert losses["distance"] > 0
    assert stepper.model.net.block[-1].weight.abs().sum() > 0
    answers = [stepper.model.eval().answer(batch_of(qualities=(q, q)), DISTORTED) for q in (5, 90)]
    assert not torch.equal(*answers)


def test_a_network_with_a_block_is_rebuilt_from_its_weights_alone(tmp_path):
    wrapped = models.wrap("rmb", network(), layer="stage3")
    torch.nn.init.normal_(wrapped.net.block[-1].weight)
    meta = {"arch": ARCH, "network": wrapped.description, "classes": 5}
    models.save_weights(wrapped.net, tmp_path / "a.safetensors", meta)
    loaded = models.load_checkpoint(str(tmp_path / "a.safetensors")).network
    batch = batch_of()
    assert loaded.description == wrapped.description
    assert torch.equal(loaded.eval().answer(batch, DISTORTED), wrapped.eval().answer(batch, DISTORTED))
    assert loaded.head() == ["base.fc.weight", "base.fc.bias"]


def test_a_composed_network_is_not_wrapped_again():
    with pytest.raises(ModelError, match="of kind 'rmb' already wraps another network"):
        models.wrap("rmb", models.wrap("rmb", network(), layer="stage2"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (Header("jpeg", 100), 1.0), (Header("jpeg", 1), 0.0), (Header("bpg", 51), 0.0), (Header("j2k", 100), 0.5),
        (Header("j2k", 1), 1.0),
    ],
)  # fmt: skip
def test_quality_is_a_fraction_of_the_codecs_range(header, expected):
    assert quality(header) == pytest.approx(expected)


def test_the_quality_of_a_format_that_does_not_tell_is_unknown():
    assert quality(Header("webp", None)) != quality(Header("webp", None))
