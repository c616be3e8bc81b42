"""The chooser's answers, against the published table by hand."""

import re

import pytest

from report import choose

pytestmark = pytest.mark.slow


@pytest.fixture
def resnet(paper):
    return [row for row in choose.candidates(paper.accuracy) if row["arch"] == "resnet50"]


@pytest.mark.parametrize(
    ("budget", "distortion", "accuracy"),
    [(400, "bpg-51", 54.31), (1000, "bpg-46", 64.83), (3000, "bpg-41", 70.59), (20_000, "jpeg-75", 75.86)],
)
def test_the_answer_is_the_most_accurate_row_within_the_budget(resnet, budget, distortion, accuracy):
    best = choose.affordable(resnet, budget)[0]
    by_hand = max((row for row in resnet if row["bytes_mean"] <= budget), key=lambda row: row["accuracy"])
    assert best == by_hand
    assert (best["distortion"], best["base"]) == (distortion, "expert")
    assert best["accuracy"] == pytest.approx(accuracy)


def test_the_front_rises_and_nothing_tested_is_better_for_less(resnet):
    front = choose.front(resnet)
    assert [row["accuracy"] for row in front] == sorted({row["accuracy"] for row in front})
    for row in resnet:
        cheaper = [kept["accuracy"] for kept in front if kept["bytes_mean"] <= row["bytes_mean"]]
        assert max(cheaper) >= row["accuracy"]


def test_a_budget_below_everything_names_the_cheapest(resnet):
    with pytest.raises(ValueError, match=r"costs at most 300 bytes: the cheapest is j2k-400 with 390"):
        choose.affordable(resnet, 300)


def test_budgets_of_bpp_and_of_a_link_are_bytes_per_picture():
    assert choose.budget_in_bytes(224 * 224, None, 0.5, None, 1) == 3136
    assert choose.budget_in_bytes(224 * 224, None, None, 64, 10) == 800


def test_a_network_too_dear_for_the_budget_does_not_hide_the_others(curves, runs, run):
    done = run("report", "choose", curves, "--results", runs, "--published", "marie2022", "--bytes", "400")
    assert done.returncode == 0, done.stderr
    assert re.search(r"resnet50 +bpg-51", done.stdout)
    assert not [line for line in done.stdout.splitlines() if line.startswith("curves")]
    assert "curves, mnasnet1_0: " in done.stderr
    assert "the cheapest is jpeg-5 with" in done.stderr


def test_choose_on_the_command_line(curves, runs, run):
    done = run("report", "choose", curves, "--results", runs, "--bytes", "100000")
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[1]
    assert first.split()[:4] == ["curves", "mnasnet1_0", "jpeg-75", "Expert"]
    for wrong in (["--bytes", "400", "--bpp", "1"], [], ["--kbps", "64"]):
        assert run("report", "choose", curves, "--results", runs, *wrong).returncode == 2
    done = run("report", "choose", curves, "--results", runs, "--bytes", "10")
    assert (done.returncode, "the cheapest is jpeg-5 with" in done.stderr) == (1, True)
