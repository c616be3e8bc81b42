"""The paper's numbers and schedule, where the reference code departs from them, and other recipes."""

import math

import pytest

from train.methods import METHODS
from train.methods.base import Context, choose_quirks
from train.methods.paper import numbers
from train.recipes import Recipe
from train.recipes.schedules import Cosine, Plateau, Schedule


def method(name, protocol="paper", arch="resnet50", batch=None, **options):
    """A method as a command makes it."""
    kind = METHODS.load(name)
    options = {"column": "clean" if name == "stability" else "jpeg-10"} | options
    context = Context(arch, quirks=choose_quirks(kind, protocol, None), batch=batch)
    return kind(kind.Options(**options), context)


def lrs(plateau, losses, start=0):
    """The learning rate after each validation loss, until the plateau says stop."""
    found = []
    for epoch, loss in enumerate(losses, start):
        plateau.update(epoch, loss)
        found.append(plateau.lr)
        if plateau.stopped:
            break
    return found


@pytest.mark.parametrize(
    ("objective", "arch", "column", "lr", "alpha", "effective"),
    [
        ("expert", "mnasnet1_0", "jpeg-10", 1e-5, 1e-2, 3.2),
        ("finetune", "mnasnet1_0", "bpg-51", 1e-5, 1e-2, 3.2),
        ("expert", "resnet50", "clean", 1e-6, 1e-3, 0.384),
        ("expert", "resnet50", "jpeg-75", 5e-6, 5e-3, 1.92),
        ("expert", "resnet50", "jpeg-10", 1e-5, 1e-2, 3.84),
        ("expert", "resnet50", "j2k-200", 1e-5, 1e-2, 3.84),
        ("finetune", "resnet50", "j2k-200", 5e-6, 1e-2, 3.84),
        ("finetune", "resnet50", "clean", 1e-6, 1e-3, 0.384),
        ("stability", "mnasnet1_0", "clean", 1e-6, 5e-3, 1.6),
        ("stability", "resnet50", "clean", 1e-7, 5e-3, 1.92),
    ],
)
def test_the_published_recipes(objective, arch, column, lr, alpha, effective):
    found = numbers(objective, arch, column)
    assert (found.lr, found.alpha, found.published) == (lr, alpha, True)
    assert found.alpha * found.reference_batch == pytest.approx(effective)


def test_stability_noise_is_a_fraction_of_the_range():
    assert numbers("stability", "mnasnet1_0", "clean").sigma == 4e-2
    assert numbers("stability", "resnet50", "clean").sigma == 5e-4


def test_what_the_paper_does_not_give_is_marked_so():
    assert not numbers("expert", "resnet18", "jpeg-10").published
    assert not numbers("expert", "resnet50", "webp-20").published
    assert numbers("finetune", "mnasnet1_0", "clean", from_scratch=True).lr == 1e-3


def test_the_paper_divides_by_five_after_three_bad_epochs_in_a_row():
    plateau = method("expert").plateau(1e-5)
    found = lrs(plateau, [9, 5, 6, 6, 4, 6, 6, 6, 6, 6, 6])
    assert found == [1e-5] * 7 + [pytest.approx(2e-6)] * 3 + [pytest.approx(4e-7)]
    assert not plateau.stopped


def test_the_paper_does_not_count_the_loss_before_training():
    plateau = method("finetune").plateau(1e-5)
    lrs(plateau, [0.1, 5.0])
    assert plateau.best == 5.0


def test_the_reference_code_counts_the_loss_before_training_and_ignores_that_of_the_first_epoch():
    plateau = method("finetune", "refcode").plateau(1e-5)
    assert lrs(plateau, [1.0, 0.5, 2, 2, 2]) == [1e-5] * 4 + [pytest.approx(2e-6)]
    assert plateau.best == 1.0


@pytest.mark.parametrize(("lr", "stages"), [(1e-6, 3), (5e-6, 4), (1e-5, 4)])
def test_the_reference_code_stops_at_the_third_decay_or_by_rounding_at_the_fourth(lr, stages):
    plateau = method("expert", "refcode").plateau(lr)
    found = lrs(plateau, [1.0] * 40)
    assert plateau.stopped
    assert len(set(found)) - 1 == plateau.decays == stages


def test_the_reference_codes_stability_stops_at_its_first_decay_after_four_bad_epochs():
    plateau = method("stability", "refcode").plateau(1e-6)
    found = lrs(plateau, [0.1, 1.0, 2, 2, 2, 2, 2])
    assert len(found) == 6
    assert plateau.stopped
    assert method("stability", "refcode").defaults().epochs == 44
    assert method("expert", "refcode").defaults().epochs == 45


def test_quirks_are_chosen_one_by_one_among_those_of_the_method():
    stability, finetune = METHODS.load("stability"), METHODS.load("finetune")
    assert choose_quirks(stability, "refcode", None) == set(stability.quirks)
    assert choose_quirks(stability, "paper", "kl-sum, bn-drift") == {"kl-sum", "bn-drift"}
    with pytest.raises(ValueError, match="--quirks names kl-sum twice"):
        choose_quirks(stability, "paper", "kl-sum,kl-sum")
    with pytest.raises(ValueError, match="--quirks has an empty name"):
        choose_quirks(stability, "paper", "kl-sum,,bn-drift")
    with pytest.raises(ValueError, match="unknown quirk 'early': did you mean 'early-stop'"):
        choose_quirks(stability, "paper", "early")
    with pytest.raises(
        ValueError, match="quirk 'bn-drift' is one of stability; here there are early-stop, adam-reset"
    ):
        choose_quirks(finetune, "paper", "bn-drift")


def test_the_second_term_weighs_alpha_times_the_papers_batch_or_with_a_quirk_the_batch_used():
    assert method("expert", batch=16).weight(1e-2) == pytest.approx(3.84)
    assert method("expert", "refcode", batch=16).weight(1e-2) == pytest.approx(0.16)
    assert method("expert", "refcode").weight(1e-2) == pytest.approx(3.84)


def test_a_plateau_goes_on_from_its_state():
    one, two = (method("expert", "refcode").plateau(1e-5) for _ in range(2))
    lrs(one, [9, 5, 10, 10])
    two.load(one.state())
    assert one.update(5, 20) is two.update(5, 20) is True
    assert one == two
    assert math.isclose(one.lr, 2e-6)


def test_only_a_quirk_starts_adam_anew_at_a_decay():
    plateau = method("expert").plateau(1e-5)
    assert not any(plateau.update(epoch, 1.0) for epoch in range(10))
    assert plateau.decays == 2
    assert any(map(method("expert", "refcode").plateau(1e-5).update, range(10), [1.0] * 10))


def test_schedules_beside_the_papers():
    cosine = Recipe(schedule="cosine").filled(0.1, 16, 10).make_schedule(Plateau(0.1))
    assert isinstance(cosine, Cosine)
    assert [cosine.at(progress) for progress in (0, 5, 10)] == pytest.approx([0.1, 0.05, 0.0])
    assert type(Recipe(schedule="constant").filled(0.1, 16, 10).make_schedule(Plateau(0.1))) is Schedule
    warm = Recipe(warmup=2).filled(0.1, 16, 10).make_schedule(Plateau(0.1))
    assert [warm.at(progress) for progress in (0, 0.5, 1, 2, 7)] == pytest.approx([0, 0.025, 0.05, 0.1, 0.1])


def test_recipes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="--optimiser sgd needs --lr: the protocol's learning rates are Adam's"):
        Recipe(optimiser="sgd").require_sensible()
    with pytest.raises(ValueError, match="--warmup 3 must be less than --epochs 3"):
        Recipe(warmup=3, epochs=3).require_sensible()
