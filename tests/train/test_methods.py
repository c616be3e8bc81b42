"""Losses against the formulas they come from, and what each objective leaves alone."""

import math

import pytest
import torch
from torch import nn

from train.engine.distributed import World
from train.engine.step import Forward, Stepper, flipped, seed_step
from train.feed.data import Batch
from train.methods.base import Context
from train.methods.batchnorm import BatchNorm
from train.methods.expert import Expert
from train.methods.finetune import FineTuning
from train.methods.stability import Stability
from train.methods.terms import add_noise
from train.networks.models import ModelError, build
from train.networks.network import Network
from train.networks.teacher import Teacher
from train.recipes import Recipe

CPU = World(0, 1, torch.device("cpu"))
BATCH = 384  #: of the paper: the weight of a second term is alpha times it


def finetune(column="jpeg-10"):
    return FineTuning(FineTuning.Options(column), Context("small"))


def expert(weight, column="jpeg-10"):
    return Expert(Expert.Options(column, alpha=weight / BATCH), Context("small"))


def stability(weight, sigma, *quirks):
    return Stability(
        Stability.Options(alpha=weight / BATCH, sigma=sigma), Context("small", quirks=frozenset(quirks))
    )


def taught(batch, network):
    """The batch with what a frozen network says of its clean crops."""
    return batch._replace(teacher=Teacher(network).log_probs(batch.images["clean"]))


def small(seed=0, dropout=0.0, norm=False):
    """A network that runs in a millisecond, without batch norm unless asked for."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 6, 5, stride=4), *([nn.BatchNorm2d(6)] if norm else []), nn.ReLU(), nn.Flatten()]
    return Network(nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(6 * 4 * 4, 5)))


def batch_of(count=8, seed=0, columns=("jpeg-10", "clean")):
    numbers = torch.Generator().manual_seed(seed)
    images = {
        name: torch.randint(0, 256, (count, 19, 19, 3), dtype=torch.uint8, generator=numbers) for name in columns
    }
    labels = torch.randint(0, 5, (count,), generator=numbers)
    return Batch(images, labels, [f"k{i}" for i in range(count)], torch.zeros(count, 2, dtype=torch.int64))


def part(batch, which):
    return batch._replace(
        images={name: image[which] for name, image in batch.images.items()},
        labels=batch.labels[which],
        keys=batch.keys[which],
        places=batch.places[which],
        teacher=None if batch.teacher is None else batch.teacher[which],
    )


def by_hand(student, batch, column="jpeg-10"):
    """Log-probabilities from the definition: normalise, forward, log(exp/sum exp)."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((batch.images[column].double() / 255 - mean) / std).permute(0, 3, 1, 2)
    z = student.net.double()(x)
    student.net.float()
    return z - z.exp().sum(1, keepdim=True).log()


def test_fine_tuning_is_the_mean_cross_entropy_on_the_distorted_pictures():
    student, batch = small(), batch_of()
    log_q = by_hand(student, batch)
    expected = -sum(log_q[i, label] for i, label in enumerate(batch.labels)) / 8
    losses, logits = finetune().losses(student, batch)
    assert float(losses["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert logits.shape == (8, 5)


def test_expert_adds_the_weighted_mean_divergence_from_the_clean_teacher():
    student, other, batch = small(1), small(2), batch_of()
    log_q, log_p = by_hand(student, batch), by_hand(other, batch, "clean")
    ce = -sum(log_q[i, label] for i, label in enumerate(batch.labels)) / 8
    kl = (log_p.exp() * (log_p - log_q)).sum() / 8
    losses, _ = expert(3.84).losses(student, taught(batch, other))
    assert float(losses["ce"]) == pytest.approx(float(ce), rel=1e-5)
    assert float(losses["kl"]) == pytest.approx(float(kl), rel=2e-3)  # the teacher is rounded to float16
    assert float(losses["loss"]) == pytest.approx(float(ce + 3.84 * kl), rel=2e-3)


def test_the_divergence_does_not_depend_on_the_batch_size():
    student, batch = small(1), taught(batch_of(8), small(2))
    method = expert(1.0)
    whole = method.losses(student, batch)[0]["loss"]
    halves = [method.losses(student, part(batch, which))[0]["loss"] for which in (slice(0, 4), slice(4, 8))]
    assert float(whole) == pytest.approx(float(sum(halves)) / 2, rel=1e-6)


def test_an_expert_that_agrees_with_its_teacher_has_the_gradient_of_fine_tuning():
    student = small(1)
    batch, gradients = taught(batch_of(columns=("clean",)), student), []
    for method in (finetune("clean"), expert(3.2, "clean")):
        student.zero_grad()
        method.losses(student, batch)[0]["loss"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in student.parameters()]))
    assert torch.allclose(*gradients, atol=2e-3)


def test_alpha_zero_is_fine_tuning_bit_for_bit():
    trained = []
    for method, teacher in ((finetune(), None), (expert(0.0), Teacher(small(9)))):
        stepper = Stepper(small(1, dropout=0.3, norm=True), method, CPU, lr=1e-2, teacher=teacher)
        for step in range(4):
            seed_step(0, step)
            stepper.step(iter([batch_of(seed=step)]))
        trained.append(stepper.model.state_dict())
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])


def test_a_cached_teacher_says_what_the_live_one_says():
    student, teacher, batch = small(1), Teacher(small(2)), batch_of()
    cached = batch._replace(teacher=teacher.log_probs(batch.images["clean"]))
    del cached.images["clean"]
    forward = Forward(student, expert(2.0), teacher)
    assert forward(batch_of())[0]["loss"] == forward(cached)[0]["loss"]


def test_nothing_wakes_the_teacher():
    teacher, batch = Teacher(small(2, dropout=0.5, norm=True)), batch_of()
    before = teacher.log_probs(batch.images["clean"])
    stepper = Stepper(small(1, norm=True), expert(1.0), CPU, lr=1e-2, teacher=teacher)
    stepper.forward.train()
    teacher._network.train()
    for step in range(3):
        stepper.step(iter([batch_of(seed=step)]))
    assert torch.equal(teacher.log_probs(batch.images["clean"]), before)


def test_stability_pulls_the_clean_and_the_noisy_answer_together():
    student, batch = small(1), batch_of(columns=("clean",))
    torch.manual_seed(5)
    noisy = add_noise(batch.images["clean"], 0.1)
    log_p = by_hand(student, batch, "clean")
    log_q = by_hand(student, batch._replace(images={"noisy": noisy}), "noisy")
    ce = -sum(log_p[i, label] for i, label in enumerate(batch.labels)) / 8
    torch.manual_seed(5)
    losses, _ = stability(2.0, 0.1).losses(student, batch)
    assert float(losses["kl"]) == pytest.approx(float((log_p.exp() * (log_p - log_q)).sum() / 8), rel=1e-3)
    assert float(losses["loss"]) == pytest.approx(float(ce + 2 * losses["kl"]), rel=1e-4)


def test_stability_trains_the_last_layer_only_and_keeps_running_statistics():
    stepper = Stepper(small(1, norm=True), stability(2.0, 0.1), CPU, lr=1e-1)
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    stepper.step(iter([batch_of()]))
    after = stepper.model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "net.5.weight",
        "net.5.bias",
    }


def test_the_reference_code_lets_running_statistics_drift():
    stepper = Stepper(small(1, norm=True), stability(2.0, 0.1, "bn-drift"), CPU, lr=1e-1)
    before = stepper.model.net[1].running_mean.clone()
    stepper.step(iter([batch_of()]))
    assert not torch.equal(before, stepper.model.net[1].running_mean)
    assert stepper.model.net[1].num_batches_tracked == 2


def test_one_sided_stability_sends_no_gradient_through_the_noisy_branch():
    gradients = []
    for quirks in ([], ["one-sided"]):
        student = small(1)
        torch.manual_seed(0)
        stability(5.0, 0.2, *quirks).losses(student, batch_of())[0]["loss"].backward()
        gradients.append(student.net[-1].weight.grad)
    assert not torch.allclose(*gradients)


def test_noise_has_the_deviation_asked_for_and_no_bias():
    images = torch.full((4, 100, 100, 3), 128, dtype=torch.uint8)
    noise = add_noise(images, 0.04).double() - 128
    assert float(noise.mean()) == pytest.approx(0, abs=0.1)
    assert float(noise.std()) == pytest.approx(0.04 * 255, rel=0.02)


def test_truncated_noise_darkens_by_half_a_grey_level():
    images = torch.full((4, 100, 100, 3), 128, dtype=torch.uint8)
    noise = add_noise(images, 5e-4, truncated=True).double() - 128
    assert float(noise.mean()) == pytest.approx(-0.5, abs=0.02)
    assert float((noise == -1).double().mean()) == pytest.approx(0.5, abs=0.02)
    assert float((add_noise(images, 5e-4) == images).double().mean()) > 0.999


@pytest.mark.parametrize("kind", ["finetune", "expert"])
def test_accumulating_two_halves_is_one_whole_batch(kind):
    states = []
    for accumulate in (1, 2):
        method, teacher = (finetune(), None) if kind == "finetune" else (expert(3.2), Teacher(small(2)))
        stepper = Stepper(small(1), method, CPU, lr=1e-3, accumulate=accumulate, teacher=teacher)
        for step in range(3):
            batch = batch_of(seed=step)
            parts = [batch] if accumulate == 1 else [part(batch, slice(0, 4)), part(batch, slice(4, 8))]
            losses, keys = stepper.step(iter(parts))
            assert keys == batch.keys
        states.append((stepper.model.state_dict(), float(losses["loss"])))
    for name in states[0][0]:
        assert torch.allclose(states[0][0][name], states[1][0][name], atol=1e-5)
    assert math.isclose(states[0][1], states[1][1], rel_tol=1e-4)


def test_a_flip_mirrors_all_columns_of_a_sample_or_none():
    batch = batch_of(64)
    torch.manual_seed(0)
    turned = flipped(batch)
    mirrored = 0
    for i in range(64):
        states = {
            torch.equal(turned.images[name][i], batch.images[name][i].flip(1)) for name in ("clean", "jpeg-10")
        }
        assert len(states) == 1
        mirrored += states.pop()
    assert 16 < mirrored < 48


def test_the_moving_average_follows_slowly_and_is_what_is_kept():
    stepper = Stepper(small(1, norm=True), finetune(), CPU, lr=1e-2, ema=0.9)
    stepper.average.updates = 1000  # warm
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    stepper.step(iter([batch_of()]))
    for name, average in stepper.result.state_dict().items():
        now = stepper.model.state_dict()[name]
        expected = 0.9 * before[name] + 0.1 * now if now.is_floating_point() else now
        assert torch.allclose(average, expected, atol=1e-6)


@pytest.mark.parametrize("amp", ["none", "bf16"])
def test_a_step_lowers_the_loss_of_its_batch(amp):
    stepper = Stepper(build("shufflenet_v2_x0_5", 5), finetune("clean"), CPU, lr=1e-3, amp=amp)
    losses = [float(stepper.step(iter([batch_of(columns=("clean",))]))[0]["loss"]) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_label_smoothing_is_for_training_only():
    method = FineTuning(FineTuning.Options("jpeg-10"), Context("small", label_smoothing=0.1))
    student, batch = small(1), batch_of()
    log_q = by_hand(student, batch)
    own = -log_q.gather(1, batch.labels[:, None]).mean()
    assert float(method.losses(student, batch)[0]["ce"]) == pytest.approx(
        float(0.9 * own - 0.1 * log_q.mean()), rel=1e-4
    )
    assert float(method.losses(student.eval(), batch)[0]["ce"]) == pytest.approx(float(own), rel=1e-4)


def test_the_norm_of_the_gradient_is_clipped():
    stepper = Stepper(small(1), finetune(), CPU, lr=1.0, recipe=Recipe(optimiser="sgd", lr=1.0, clip=1e-3))
    before = torch.cat([p.detach().flatten().clone() for p in stepper.trained])
    stepper.step(iter([batch_of()]))
    moved = torch.cat([p.detach().flatten() for p in stepper.trained]) - before
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_weights_decay_and_biases_do_not(optimiser):
    recipe = Recipe(optimiser=optimiser, weight_decay=0.1)
    decay = {p: g["weight_decay"] for g in Stepper(small(1, norm=True), finetune(), CPU, lr=1e-3,
             recipe=recipe).optimiser.param_groups for p in g["params"]}  # fmt: skip
    assert {(p.ndim > 1, value) for p, value in decay.items()} == {(True, 0.1), (False, 0.0)}


def test_groups_have_learning_rates_of_their_own():
    class TwoRates(FineTuning):
        def parameter_groups(self, model):
            head = [p for _, layer in model.last(1) for p in layer.parameters()]
            return [{"params": head}, {"params": list(model.net[0].parameters()), "scale": 0.1}]

    stepper = Stepper(small(1), TwoRates(FineTuning.Options("jpeg-10"), Context("small")), CPU, lr=1.0)
    stepper.set_lr(0.5)
    assert [group["lr"] for group in stepper.optimiser.param_groups] == [0.5, 0.05]


def test_batch_norm_is_measured_anew_and_nothing_else_changes():
    method = BatchNorm(BatchNorm.Options("jpeg-10"), Context("small"))
    network = small(1, dropout=0.5, norm=True)
    network.net[1].num_batches_tracked.fill_(1000)
    stepper = Stepper(network, method, CPU, lr=method.defaults().lr)
    before = {name: value.clone() for name, value in stepper.model.state_dict().items()}
    batches = [batch_of(seed=seed) for seed in range(3)]
    for batch in batches:
        stepper.step(iter([batch]))
    after = stepper.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"net.1.running_mean", "net.1.running_var", "net.1.num_batches_tracked"}
    with torch.no_grad():
        features = [network.net[0](network.normalised(batch.images["jpeg-10"])) for batch in batches]
    means = torch.stack([part.mean((0, 2, 3)) for part in features]).mean(0)
    assert torch.allclose(after["net.1.running_mean"], means, atol=1e-5)
    assert stepper.state()["optimiser"] is None


def test_a_network_without_batch_norm_has_no_statistics_to_measure():
    method = BatchNorm(BatchNorm.Options("jpeg-10"), Context("small"))
    with pytest.raises(ModelError, match="small has no batch norm to re-estimate"):
        method.model(small(1))
