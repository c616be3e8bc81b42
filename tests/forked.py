"""Commands as processes of their own that start in milliseconds.

A server process (``python tests/forked.py SOCKET ROOM…``) has imported the commands and forks for each that is
started. Everything a command does, its signals, exit status, workers and open files included, is as in a process
that a shell starts; only the imports are skipped.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

#: What each server starts; train would bring PyTorch into every fork.
SERVERS = {"light": ("distort", "report", "shards"), "torch": ("train", "python")}
#: What they import when they run.
LATE = {"report": ["report.writing"], "train": ["train.api", "torch.utils.tensorboard"]}
NUMBER = struct.Struct("i")  #: how IDs and statuses are sent


class Process:
    """A command that was started: the part of ``subprocess.Popen`` that tests use."""

    returncode: int | None = None

    def __init__(self, channel: socket.socket, outputs: tuple[IO[bytes], IO[bytes]]) -> None:
        self._channel, self._outputs = channel, outputs
        self.pid = self._number()

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._channel], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = self._number()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to stdout and stderr until its end. Raises subprocess.TimeoutExpired."""
        self.wait(timeout)
        for file in self._outputs:
            file.seek(0)
        output, error = (file.read().decode() for file in self._outputs)
        return output, error

    def send_signal(self, number: int) -> None:
        """To this process alone; ``os.killpg`` reaches its ranks and workers too."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        if received := self._channel.recv(NUMBER.size):
            return NUMBER.unpack(received)[0]
        raise OSError("the server of commands did not start, or was killed")


class Server:
    """Starts ``distort``, ``report``, ``shards``, ``train`` and ``python -c``, each in its own process group.

    To be closed.
    """

    def __init__(self, **variables: str) -> None:
        """``variables`` of the commands' environment; the others are those of this process."""
        self._variables = variables
        self._environment = _environment()
        self._running: dict[str, tuple[subprocess.Popen, socket.socket]] = {}

    def start(
        self, *command: str, cwd: os.PathLike | None = None, ranks: Iterable[Mapping[str, str]] = ({},)
    ) -> Process:
        """Start a command. With several ``ranks``, one process with each of these environments, in one group.

        Their exit status is that of the last one that failed, as a shell that waits for them would report.
        """
        channel, theirs = socket.socketpair()
        outputs = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        environment = _environment() | self._variables
        request = {
            "command": command,
            "cwd": str(cwd or os.getcwd()),
            "environments": [environment | rank for rank in ranks],
        }
        with theirs:
            descriptors = [file.fileno() for file in (theirs, *outputs)]
            control = self._server("torch" if command[0] in SERVERS["torch"] else "light")
            socket.send_fds(control, [json.dumps(request).encode()], descriptors)
        return Process(channel, outputs)

    def run(self, *command: str, timeout: float = 300) -> subprocess.CompletedProcess:
        """Like ``subprocess.run`` with ``text`` and ``capture_output``, in this environment and folder.

        Raises subprocess.TimeoutExpired, having killed the command.
        """
        rooms = sum(SERVERS.values(), ())
        if command[0] not in rooms or _environment() != self._environment:  # some count when Python starts
            program = Path(sys.executable).parent / command[0]
            return subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=timeout,
                                  env=os.environ | self._variables)  # fmt: skip
        process = self.start(*command)
        try:
            output, error = process.communicate(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(command, process.wait(), output, error)

    def close(self) -> None:
        for server, control in self._running.values():
            control.close()  # ends it
            server.wait()

    def _server(self, name: str) -> socket.socket:
        """The connection to a server, which is started when it is first needed, or was killed."""
        if name not in self._running or self._running[name][0].poll() is not None:
            ours, theirs = socket.socketpair()
            with theirs:
                server = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno()), *SERVERS[name]], pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=self._environment | self._variables,
                )  # fmt: skip
            self._running[name] = server, ours
        return self._running[name][1]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _serve(control: socket.socket, rooms: list[str]) -> None:
    """Fork for every request, until the connection is closed."""
    mains = {room: importlib.import_module(f"{room}.__main__").main for room in rooms if room != "python"}
    mains["python"] = _python
    for room in rooms:
        for module in LATE.get(room, ()):
            importlib.import_module(module)
    gc.freeze()  # spare the commands' garbage collectors what is imported
    while True:
        message, descriptors, *_ = socket.recv_fds(control, 1 << 20, 3)
        if not message:
            os._exit(0)
        with suppress(ChildProcessError):  # none is left
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        if not os.fork():
            request = json.loads(message)
            _keep(descriptors, request)
            mains[request["command"][0]]()
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(descriptors: list[int], request: dict) -> None:
    """Fork the processes of a command, send the first one's ID and later the status; return only in those."""
    channel, *outputs = descriptors
    ranks: list[int] = []
    for environment in request["environments"]:
        if not (pid := os.fork()):
            os.setpgid(0, ranks[0] if ranks else 0)
            for fd, file in zip((1, 2), outputs, strict=True):
                os.dup2(file, fd)
            os.closerange(3, 256)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = request["command"]
            return
        ranks.append(pid)
        os.setpgid(pid, ranks[0])
    os.write(channel, NUMBER.pack(ranks[0]))
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in ranks]
    os.write(channel, NUMBER.pack(next((end for end in reversed(ends) if end), 0)))
    os._exit(0)


def _python() -> None:
    _, option, code, *arguments = sys.argv
    assert option == "-c"
    sys.argv = [option, *arguments]
    exec(code, {"__name__": "__main__"})
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    del sys.path[0]  # this folder
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
