"""Plugins as other people ship them: separate packages, installed with pip, found by their entry points."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: a folder that is on the import path of what ``run`` starts."""

    path: Path

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(self.path), *filter(None, [os.environ.get("PYTHONPATH")])]
        return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess:
        """Run one of the project's commands, or ``python``, with the plugin installed."""
        command = [Path(sys.executable).parent / program, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=self.environment)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory):
    """``plugin("codec")`` installs tests/plugins/codec once per session, outside the environment of the tests."""

    @functools.cache
    def install(name: str) -> Plugin:
        folder = tmp_path_factory.mktemp(f"plugin-{name}")
        source = shutil.copytree(HERE / name, folder / "source")  # building writes into it
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
        ]
        done = subprocess.run(
            [*pip, "--disable-pip-version-check", "--target", folder / "installed", source],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Plugin(folder / "installed")

    return install
