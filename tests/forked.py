"""Commands as processes of their own that start in milliseconds.

A server has imported the commands and forks one process per command. Everything a command does, its signals, exit
status, workers and open files included, is as in a process that a shell starts; only the imports are skipped.
Needs a server process: ``python tests/forked.py`` reads requests from stdin and writes answers to stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

ROOMS = ("distort", "report", "shards")


class Server:
    """Runs ``distort``, ``report`` and ``shards``; to be closed."""

    def __init__(self) -> None:
        self.environment = _environment()
        self._start()

    def _start(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *command: str, timeout: float) -> subprocess.CompletedProcess:
        """Like ``subprocess.run`` with ``text`` and ``capture_output``, in this environment and folder.

        Raises subprocess.TimeoutExpired, having killed the command.
        """
        # Some variables count when the interpreter starts; train would bring PyTorch into every fork.
        if command[0] not in ROOMS or _environment() != self.environment:
            program = Path(sys.executable).parent / command[0]
            return subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=timeout)
        if self._server.poll() is not None:
            self._start()
        with tempfile.TemporaryDirectory() as folder:
            files = [os.path.join(folder, name) for name in ("stdout", "stderr")]
            pid = self._ask({"command": command, "cwd": os.getcwd(), "files": files})
            late = threading.Event()
            alarm = threading.Timer(timeout, lambda: (late.set(), os.kill(pid, 9)))
            alarm.start()
            status = self._answer()
            alarm.cancel()
            if late.is_set():
                raise subprocess.TimeoutExpired(command, timeout)
            texts = [Path(file).read_text() for file in files]
        return subprocess.CompletedProcess(command, status, *texts)

    def close(self) -> None:
        self._server.kill()
        self._server.wait()

    def _ask(self, request: dict) -> int:
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        return int(self._server.stdout.readline())


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _serve() -> None:
    del sys.path[0]  # this folder
    mains = {room: importlib.import_module(f"{room}.__main__").main for room in ROOMS}
    importlib.import_module("report.writing")  # which the command imports late
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    for line in requests:
        request = json.loads(line)
        if not (pid := os.fork()):
            for fd, file in zip((1, 2), request["files"], strict=True):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), fd)
            os.closerange(3, 256)
            os.chdir(request["cwd"])
            sys.argv = request["command"]
            _run(mains[sys.argv[0]])
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


def _run(main) -> None:
    status = 1
    try:
        main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    _serve()
