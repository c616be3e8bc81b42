"""The examples run as they stand."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WHOLE_WAY = """
from pathlib import Path
import pipeline
pipeline.main(Path("pictures"), Path("out"), epochs=1, batch=16)
"""


def test_the_readmes_training_in_python_runs(train_set, val_set, weights, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "train.fit(" in block)
    for name, there in (("train", train_set), ("val", val_set)):
        (tmp_path / name).symlink_to(there)
    replaced = {
        '"imagenet"': repr(str(weights)),
        '"mnasnet1_0"': '"shufflenet_v2_x0_5"',
        "epochs=5": "epochs=1, batch=16, holdout=0.1",
    }
    for word, other in replaced.items():
        assert word in code
        code = code.replace(word, other)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "jpeg-10" in capsys.readouterr().out
    assert (tmp_path / "report" / "index.html").exists()


def test_the_whole_way_in_python(make_tiles, run, tmp_path, monkeypatch, capsys):
    for split, count in (("train", 20), ("val", 5)):
        make_tiles(tmp_path / "pictures" / split, count, count)
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    done = run("python", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'examples')!r})\n{WHOLE_WAY}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report" / "index.html").exists()
    made = [file.stat().st_mtime_ns for file in sorted(tmp_path.glob("out/runs/*/last.*"))]
    exec(WHOLE_WAY)
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.glob("out/runs/*/last.*"))] == made
    for output in (done.stdout, capsys.readouterr().out):
        assert "Expert: " in output
