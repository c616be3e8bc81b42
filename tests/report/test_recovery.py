"""The recovery figure, against the published table that it comes from."""

import pytest

from report import contents
from report.tables.recovery import recovered, recovery
from shards.dataset import Dataset
from shards.results import find

#: Ghosh et al. 2018, Table 1: clean and JPEG-10 before, JPEG-10 after, recovery as computed from these.
PUBLISHED = {
    "fc8": (70.2, 61.2, 63.0, 20.0),
    "fc67": (70.2, 61.2, 63.5, 25.6),
    "fc678": (70.2, 61.2, 64.4, 35.6),
    "master-slave": (70.2, 61.2, 66.7, 61.1),
    "alternative": (70.2, 61.2, 66.0, 53.3),
    "stability": (77.8, 61.1, 67.9, 40.7),
}
PRINTED = {"fc8": 19.8, "fc67": 25.3, "fc678": 35.7, "master-slave": 60.5, "alternative": 52.5, "stability": 40}


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_published_recoveries_follow_from_the_published_table(method):
    clean, distorted, after, expected = PUBLISHED[method]
    assert recovered(clean, distorted, after) == pytest.approx(expected, abs=0.05)
    assert recovered(clean, distorted, after) == pytest.approx(PRINTED[method], abs=1)


def test_nothing_is_recovered_where_nothing_was_lost():
    assert recovered(70, 70, 75) is None
    assert recovered(70, 60, 60) == 0
    assert recovered(70, 60, 70) == 100


def test_a_report_says_what_each_method_wins_back(curves, write_results, tmp_path):
    runs = write_results(tmp_path / "runs", [
        ("pretrained", None, None, {"clean": 0.75, "jpeg-10": 0.5, "webp-5": 0.75}),
        ("expert", "jpeg-10", 0, {"clean": 0.625, "jpeg-10": 0.625}),
        ("augment", None, 0, {"clean": 0.875, "jpeg-10": 0.75, "webp-5": 0.5}),
    ])  # fmt: skip
    said = '"method": "augment", "counts_everywhere": true, "title": "DA"'
    file = runs / "results.json"
    file.write_text(file.read_text().replace('"method": "augment"', said))
    made = recovery(contents.collect([Dataset(curves)], find([runs])))
    found = {row["method"]: row for row in made.records}
    assert {row["distortion"] for row in made.records} == {"jpeg-10"}
    assert found["DA"]["recovery"] == pytest.approx(100)
    assert found["DA"]["clean_after"] == pytest.approx(87.5)
    (expert,) = (row for name, row in found.items() if name != "DA")
    assert expert["recovery"] == pytest.approx(50)
    assert expert["clean_after"] is None


def test_without_the_network_as_it_comes_there_is_no_table(curves, write_results, tmp_path):
    runs = write_results(tmp_path / "runs", [("expert", "jpeg-10", 0, {"jpeg-10": 0.5})])
    assert recovery(contents.collect([Dataset(curves)], find([runs]))) is None
