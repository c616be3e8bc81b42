"""The codec that CONTRIBUTING.md shows works as it stands there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def test_the_example_codec_is_listed_and_draws(tree, tmp_path):
    text = CONTRIBUTING.read_text()
    code, project = (re.search(rf"```{kind}\n(.*?)```", text, re.S)[1] for kind in ("python", "toml"))
    (tmp_path / "codecproof_gif.py").write_text(code)
    [(group, entries)] = tomllib.loads(project)["project"]["entry-points"].items()
    info = tmp_path / "codecproof_gif-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: codecproof-gif\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()))
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    def distort(*arguments: object) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("distort"), *map(str, arguments)],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert re.search(r"^gif-16 +2..256 +.gif +size of the palette", distort("list"), re.M)
    picture = next(tree.rglob("*.jpg"))
    assert "3 panels" in distort("preview", picture, tmp_path / "x.png", "--distortions", "gif-4,gif-64")
    distort("run", tree / "animals", tmp_path / "d", "--distortions", "gif-8", "--limit", 2, "--workers", 1)
