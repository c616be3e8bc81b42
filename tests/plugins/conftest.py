"""Plugins as other people ship them: separate packages, installed with pip, found by their entry points."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..forked import Server

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: a folder that is on the import path of what ``run`` starts."""

    path: Path
    server: Server

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess:
        """Run one of the project's commands, or ``python``, with the plugin installed."""
        return self.server.run(program, *map(str, arguments))


@pytest.fixture(scope="session")
def installed() -> Iterator[Callable[..., Plugin]]:
    """``installed(folder, …)``: the plugin in a folder, for an import path that begins with these folders."""
    with ExitStack() as servers:

        def installed(*folders: Path) -> Plugin:
            paths = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
            server = servers.enter_context(closing(Server(PYTHONPATH=os.pathsep.join(paths))))
            return Plugin(folders[0], server)

        yield installed


@pytest.fixture(scope="session")
def plugin(once, installed) -> Callable[..., Plugin]:
    """``plugin("codec", …)`` installs tests/plugins/codec with pip, outside the environment of the tests."""

    @functools.cache
    def plugin(*names: str) -> Plugin:
        made = [once(f"plugin-{name}", functools.partial(install, HERE / name)) for name in names]
        return installed(*(folder / "installed" for folder in made))

    return plugin


def install(package: Path, folder: Path) -> None:
    source = shutil.copytree(package, folder / "source")  # building writes into it
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", folder / "installed", source],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
