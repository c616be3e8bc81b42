"""The paper's numbers and schedule, and where the reference code departs from them."""

import math

import pytest

from train import protocol
from train.protocol import Plateau, recipe

REFCODE = protocol.PROTOCOLS["refcode"]


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
    found = recipe(objective, arch, column)
    assert (found.lr, found.alpha, found.published) == (lr, alpha, True)
    assert found.alpha * found.reference_batch == pytest.approx(effective)


def test_stability_noise_is_a_fraction_of_the_range():
    assert recipe("stability", "mnasnet1_0", "clean").sigma == 4e-2
    assert recipe("stability", "resnet50", "clean").sigma == 5e-4


def test_what_the_paper_does_not_give_is_marked_so():
    assert not recipe("expert", "resnet18", "jpeg-10").published
    assert not recipe("expert", "resnet50", "webp-20").published
    assert recipe("finetune", "mnasnet1_0", "clean", from_scratch=True).lr == 1e-3


def test_the_paper_divides_by_five_after_three_bad_epochs_in_a_row():
    plateau = Plateau.of("expert", 1e-5, protocol.PROTOCOLS["paper"])
    found = lrs(plateau, [9, 5, 6, 6, 4, 6, 6, 6, 6, 6, 6])
    assert found == [1e-5] * 7 + [pytest.approx(2e-6)] * 3 + [pytest.approx(4e-7)]
    assert not plateau.stopped


def test_the_paper_does_not_count_the_loss_before_training():
    plateau = Plateau.of("finetune", 1e-5, frozenset())
    lrs(plateau, [0.1, 5.0])
    assert plateau.best == 5.0


def test_the_reference_code_counts_the_loss_before_training_and_ignores_that_of_the_first_epoch():
    plateau = Plateau.of("finetune", 1e-5, REFCODE)
    assert lrs(plateau, [1.0, 0.5, 2, 2, 2]) == [1e-5] * 4 + [pytest.approx(2e-6)]
    assert plateau.best == 1.0


@pytest.mark.parametrize(("lr", "stages"), [(1e-6, 3), (5e-6, 4), (1e-5, 4)])
def test_the_reference_code_stops_at_the_third_decay_or_by_rounding_at_the_fourth(lr, stages):
    plateau = Plateau.of("expert", lr, REFCODE)
    found = lrs(plateau, [1.0] * 40)
    assert plateau.stopped
    assert len(set(found)) - 1 == plateau.decays == stages


def test_the_reference_codes_stability_stops_at_its_first_decay_after_four_bad_epochs():
    plateau = Plateau.of("stability", 1e-6, REFCODE)
    found = lrs(plateau, [0.1, 1.0, 2, 2, 2, 2, 2])
    assert len(found) == 6
    assert plateau.stopped
    assert protocol.epochs("stability", REFCODE) == 44
    assert protocol.epochs("expert", REFCODE) == 45


def test_quirks_are_chosen_one_by_one():
    assert protocol.parse_quirks("refcode", None) == set(protocol.QUIRKS)
    assert protocol.parse_quirks("paper", "kl-sum, bn-drift") == {"kl-sum", "bn-drift"}
    assert protocol.parse_quirks("refcode", "") == set()
    with pytest.raises(ValueError, match="unknown quirk 'batch'; there are kl-sum, early-stop"):
        protocol.parse_quirks("paper", "batch")


def test_a_plateau_goes_on_from_its_state():
    one, two = (Plateau.of("expert", 1e-5, frozenset()) for _ in range(2))
    lrs(one, [9, 5, 6, 6])
    two = Plateau(**one.state())
    assert one.update(4, 6) is two.update(4, 6) is True
    assert one == two
    assert math.isclose(one.lr, 2e-6)
