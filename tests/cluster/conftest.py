"""Real clusters on this machine: a Ray with two nodes, a Slurm with two nodes, a Swift that speaks S3.

Every process of a test session, also those that its servers and jobs start, inherits CLUSTER_TEST in its
environment; at the end, whatever carries it is killed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
#: With and without a bitstream; slow enough to be killed in the middle.
WORK = ["--distortions", "noise-20+jpeg-10,avif-30,noise-20", "--shard-size", "4"]
LIMIT = 90  #: seconds that any one command may take


class Ground:
    """A folder, an environment of its own, and the processes that live there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.mark = secrets.token_hex(8)
        (folder / "home").mkdir()
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))}
        self.env |= {
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _marked(self, env: dict[str, str]) -> dict[str, str]:
        # At the end: slurmstepd writes its title over the beginning of its environment.
        return {**self.env, **env, "CLUSTER_TEST": self.mark}

    def start(self, *command: object, **env: str) -> subprocess.Popen:
        log = (self.folder / "log").open("a")
        return subprocess.Popen(
            list(map(str, command)), env=self._marked(env), stdout=log, stderr=log, start_new_session=True
        )

    def run(self, *command: object, check: bool = True, cwd=None, **env: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            list(map(str, command)), env=self._marked(env), capture_output=True, text=True, timeout=LIMIT, cwd=cwd
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}{self.log()}"
        return done

    def begin(self, *command: object, cwd=None, **env: str) -> subprocess.Popen:
        """A command that is interfered with; its output is read by ``end``."""
        return subprocess.Popen(
            list(map(str, command)),
            env=self._marked(env),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
        )

    def log(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""

    def pids(self, *marks: str) -> list[int]:
        """Processes with all of these NAME=VALUE in their environment."""
        wanted = {mark.encode() for mark in (f"CLUSTER_TEST={self.mark}", *marks)}
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and int(folder.name) != os.getpid():
                try:
                    if wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                        found.append(int(folder.name))
                except OSError:  # gone, or not ours
                    continue
        return found

    def kill(self, *marks: str) -> None:
        for _ in range(50):
            pids = self.pids(*marks)
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
                except (ProcessLookupError, ChildProcessError):
                    pass
            if not pids:
                return
            time.sleep(0.1)


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    # Not below pytest's own folder: the names of Unix sockets must be short.
    folder = Path(f"/tmp/cluster-{secrets.token_hex(3)}")
    folder.mkdir()
    ground = Ground(folder)
    yield ground
    ground.kill()
    shutil.rmtree(folder, ignore_errors=True)


def end(process: subprocess.Popen, status: int = 0) -> str:
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == status, output
    return output


def until(condition, what: str, seconds: float = 60):
    """Wait for ``condition()`` and return what it returns."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def undisturbed(tree, tmp_path_factory, run) -> Path:
    """What one machine makes of the tree when nothing happens: 24 pictures, 6 shards, 4 columns."""
    folder = tmp_path_factory.mktemp("undisturbed") / "d"
    made = run("distort", "run", tree, folder, *WORK)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def same(undisturbed, digests):
    """Whether a folder holds exactly the files of the undisturbed run, and nothing else."""

    def same(folder: Path) -> bool:
        assert digests(folder) == digests(undisturbed)
        assert not (folder / ".partial").exists()
        return True

    return same


class S3:
    """Swift on a port of this machine; its users can be changed."""

    def __init__(self, ground: Ground):
        self.ground, self.port, self.users = ground, free_port(), {"test:tester": "testing"}
        self.folder = ground.folder / "swift"
        self.folder.mkdir()
        self.env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test:tester",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self, key: str = "testing") -> None:
        (self.folder / "users.json").write_text(json.dumps({"test:tester": key}))
        script = Path(__file__).with_name("swift_server.py")
        self.server = self.ground.start(sys.executable, script, self.folder, self.port, ROLE="swift")
        until(lambda: answers(self.port), "Swift answers", 30)

    def stop(self) -> None:
        self.server.kill()
        self.server.wait()

    def call(self, code: str) -> str:
        """Run Python with ``fs``, an s3fs file system, and return what it prints."""
        head = "import fsspec; fs = fsspec.filesystem('s3', use_listings_cache=False)\n"
        return self.ground.run(sys.executable, "-c", head + code).stdout

    def download(self, prefix: str, folder: Path) -> Path:
        self.call(f"fs.get({prefix!r}, {str(folder)!r}, recursive=True)")
        return folder


@pytest.fixture(scope="module")
def s3(ground):
    for package in ("swift", "s3fs"):
        pytest.importorskip(package, reason=f"needs {package} (tests/cluster/install.sh)")
    s3 = S3(ground)
    s3.start()
    ground.env |= s3.env
    s3.call("fs.mkdir('bucket')")
    yield s3
    s3.stop()
