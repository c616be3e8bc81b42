"""``distort slurm`` prints a script that bash understands, for the shards that are missing."""

import shutil
import subprocess

import pytest

from distort.options import check_sbatch, check_time
from distort.slurm import ranges


def script(run, *command, options=()):
    return run("distort", "slurm", *options, *command)


def test_numbers_are_written_as_slurm_reads_them():
    assert ranges([1, 2, 3, 5, 7, 8]) == "1-3,5,7-8"
    assert ranges([4]) == "4"


def test_the_script_makes_the_plan_s_shards_in_parts(tree, tmp_path, run):
    work = ["run", tree, tmp_path / "d", "--distortions", "jpeg-10", "--shard-size", 5]
    printed = script(run, *work, options=["--cpus", 2, "--sbatch=--partition=cpu", "--time", "1:00:00"])
    assert printed.returncode == 0, printed.stderr
    for line in ("--array=1-3", "--cpus-per-task=2", "--partition=cpu", "--time=1:00:00", "--requeue"):
        assert f"#SBATCH {line}\n" in printed.stdout
    assert '--shard-size 5 --planned \\\n    --workers "$SLURM_CPUS_PER_TASK"' in printed.stdout
    assert (tmp_path / "d" / "dataset.json").exists()
    assert subprocess.run(["bash", "-n"], input=printed.stdout, text=True).returncode == 0


@pytest.mark.slow
def test_only_tasks_with_missing_shards_are_in_the_array(dataset, tree, tmp_path, run):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    (d / "jpeg-10" / "000001.parquet").unlink()
    (d / "jpeg-10" / "000004.parquet").unlink()
    work = ["add", d, "--distortions", "jpeg-10,webp-20"]
    assert "#SBATCH --array=2,5\n" in script(run, *work, options=["--cpus", 1]).stdout
    complete = script(run, "add", dataset, "--distortions", "jpeg-10")
    assert complete.returncode == 1
    assert "all shards are finished" in complete.stderr


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ([], ["--workers=3"], "leave it out"),
        ([], ["--part", "1/2"], "distort slurm sets --part itself; leave it out"),
        ([], ["--engine=ray"], "leave it out"),
        ([], ["--dry-run"], "tasks with --dry-run would make nothing; leave it out"),
        ([], ["--submit"], "--submit belongs before 'run': distort slurm --submit … run …"),
        ([], ["--cpus=4"], "--cpus belongs before 'run'"),
        (["--sbatch=--array=1-3"], [], "distort slurm sets --array itself; use --tasks of distort slurm"),
        (["--sbatch=-t 5"], [], "use --time of distort slurm"),
        (["--sbatch=-c4"], [], "use --cpus of distort slurm"),
        (["--sbatch=--wrap=id"], [], "distort slurm sets --wrap itself; leave it out"),
        (["--sbatch=-p"], [], "-p needs a value, as in '--sbatch=-p x'"),
        (["--time", "0:01:00"], [], "'0:01:00': a task needs at least three minutes"),
    ],
)
def test_what_it_sets_itself_is_refused_before_anything_is_written(tree, tmp_path, run, before, after, message):
    made = script(run, "run", tree, tmp_path / "d", "--distortions", "jpeg-10", *after, options=before)
    assert made.returncode in (1, 2)
    assert message in made.stderr
    assert not list(tmp_path.iterdir())


def test_other_commands_are_refused(tree, tmp_path, run):
    assert "expected run or add, got" in script(run, "preview", tree, tmp_path).stderr


@pytest.mark.parametrize("text", ["-N2", "-H", "-p cpu", "--account=x", "--constraint=a", "--output=logs/%A.log"])
def test_other_options_of_sbatch_are_passed_on(text):
    check_sbatch(text)


def test_it_says_when_there_is_no_slurm(tree, tmp_path, run, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    made = script(run, "run", tree, tmp_path / "d", "--distortions", "jpeg-10", options=["--submit"])
    assert made.returncode == 1
    assert "no sbatch on this machine" in made.stderr
    assert not (tmp_path / "d").exists()


def test_printing_a_script_for_add_changes_nothing(dataset, tmp_path, run, digests):
    d = tmp_path / "d"
    shutil.copytree(dataset, d)
    assert script(run, "add", d, "--distortions", "jpeg-11").returncode == 0
    assert digests(d) == digests(dataset)


@pytest.mark.parametrize(
    "limit", ["abc", "1:", "-5", "1-", "4h", "", "1:99:00", "1:00:60", "1-24", "2", "2:59", "0-0:02:59", "9" * 14]
)
def test_a_time_limit_that_makes_no_sense_is_refused(limit):
    with pytest.raises(ValueError, match=r"is not a time limit|at least three minutes"):
        check_time(limit)


@pytest.mark.parametrize(
    "limit", ["3", "3:00", "90", "90:30", "0:03:00", "8:00:00", "36:00:00", "1-0", "7-23:59:59"]
)
def test_time_limits_of_slurm_are_taken(limit):
    check_time(limit)


def test_a_line_break_gets_into_no_script(dataset, tmp_path, run, monkeypatch):
    odd = tmp_path / "x\n#SBATCH --wrap=id"
    odd.mkdir()
    monkeypatch.chdir(odd)
    made = script(run, "add", dataset, "--distortions", "jpeg-11")
    assert made.returncode == 1
    assert "cannot be used in a Slurm script" in made.stderr
    monkeypatch.chdir(tmp_path)
    made = script(run, "add", dataset, "--distortions", "jpeg-11", options=["--sbatch=--mem=1G\nid"])
    assert "cannot be used in a Slurm script" in made.stderr
