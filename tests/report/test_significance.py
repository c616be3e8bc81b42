import pytest
from scipy.stats import binom

from report import contents, results, significance
from shards.dataset import Dataset
from shards.results import ResultsError, find


def test_mcnemar_is_the_two_sided_sign_test_of_the_discordant_pictures():
    assert significance.mcnemar(9, 1) == pytest.approx(2 * binom.cdf(1, 10, 0.5))
    assert significance.mcnemar(5, 5) == significance.mcnemar(0, 0) == 1


def test_only_the_pictures_that_both_saw_are_compared():
    pair = significance.paired({"a": True, "b": True, "c": False}, {"a": False, "b": True, "d": True})
    assert (pair["n"], pair["only_a"], pair["only_b"], pair["gain"]) == (2, 1, 0, 50.0)


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests_and_never_falls():
    assert significance.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert significance.holm([0.9, 0.8]) == [1.0, 1.0]


def test_seeds_are_paired_with_themselves_and_with_what_has_none(curves, write_results, tmp_path):
    models = [("pretrained", None, None, {"blur-1": 0.5})]
    models += [(method, "blur-1", seed, {"blur-1": 0.75}) for method in ("finetune", "expert") for seed in (0, 1)]
    found = contents.collect([Dataset(curves)], find([write_results(tmp_path / "r", models)]))
    pairs = sorted((row["a"], row["b"], row["seed"]) for row in found.tests.to_pylist())
    assert pairs == sorted(
        [("expert", "finetune", s) for s in (0, 1)]
        + [("expert", "pretrained", s) for s in (0, 1)]
        + [("finetune", "pretrained", s) for s in (0, 1)]
    )


def test_columns_with_a_dot_in_their_name_are_found(curves, write_results, tmp_path):
    folder = write_results(tmp_path / "r", [("pretrained", None, None, {"blur-0.5": 0.5, "blur-1": 0.25})])
    assert sum(results.correctness(folder / "results.0.parquet", "blur-0.5").values()) == 12
    assert results.correctness(folder / "results.0.parquet", "blur-7") is None


def test_a_missing_or_damaged_per_sample_file_is_named(curves, write_results, models, tmp_path):
    folder = write_results(tmp_path / "r", models[:1])
    file = folder / "results.0.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ResultsError, match=r"results\.0\.parquet is damaged"):
        results.correctness(file, "clean")
    file.unlink()
    with pytest.raises(ResultsError, match=r"results\.0\.parquet is missing"):
        results.correctness(file, "clean")
