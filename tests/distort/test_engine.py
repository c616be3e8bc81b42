"""The local engine: every shard ends exactly once, whatever happens to the workers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distort import engines
from distort.engines.base import (
    Done,
    Engine,
    Event,
    Failed,
    Outcome,
    Progressed,
    Refused,
    Returned,
    Unfit,
    Unit,
    run,
)
from distort.engines.local import Local
from distort.units import Made, Shards

sys.path.append(str(Path(__file__).parent))  # workers get our path
import engine_work as do

pytestmark = pytest.mark.slow


def calling(function, todo=range(5), workers: int = 2) -> Iterator[Event]:
    return run(Local(function, workers), Shards(todo))


def finished(events) -> list[Event]:
    return sorted((event for event in events if not isinstance(event, Progressed)), key=lambda e: e.shard)


def test_every_shard_is_done_once_and_reports():
    events = list(calling(do.work))
    assert finished(events) == [Done(i) for i in range(5)]
    assert events.count(Progressed(3, 2, 1)) == 1


def test_a_failing_shard_does_not_stop_the_others():
    events = finished(calling(do.odd_ones_fail, range(4)))
    assert events == [Done(0), Failed(1, "shard 1 is odd"), Done(2), Failed(3, "shard 3 is odd")]


def test_a_shard_that_kills_its_worker_twice_fails_and_the_others_go_on():
    events = finished(calling(do.suicide))
    assert [type(event) for event in events] == [Done, Done, Failed, Done, Done]
    assert "died 2 times (killed by SIGKILL" in events[2].reason


def test_storage_errors_are_marked_and_crashes_carry_their_traceback():
    (failed,) = calling(do.disk_error, [0])
    assert failed.storage
    assert "No space left" in failed.reason
    (failed,) = calling(do.crash, [0])
    assert "Traceback" in failed.reason
    assert "KeyError: 'surprise'" in failed.reason


def test_workers_are_single_threaded_and_leave_our_environment_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    events = calling(do.threads, [0])
    assert finished(events) == [Done(0)]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_leaving_kills_the_workers():
    events = calling(do.slow, [0, 1], workers=1)
    pid = next(events).done
    assert next(events) == Done(0)
    events.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_end_with_their_parent(monkeypatch):
    code = (
        "import os, engine_work\n"
        "from distort.engines.local import Local\n"
        "from distort.units import Shards\n"
        "engine = Local(engine_work.slow, 1)\n"
        "engine.start(Shards([1]).next())\n"
        "list(engine.wait())\n"
        "print(engine.crew[0].process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60)
    for _ in range(100):
        try:
            os.kill(int(done.stdout), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the worker is still there")


def test_nothing_to_do_starts_nothing():
    engine = Local(do.work, 2)
    assert list(run(engine, Shards([]))) == []
    assert engine.crew == []


def test_workers_begin_together_and_no_more_than_there_is_to_do():
    engine = Local(do.work, 3)
    engine.expect(2)
    assert len(engine.crew) == 2
    list(run(engine, Shards([0, 1])))
    assert engine.crew == []


def test_workers_that_never_begin_end_the_job_with_a_reason(capfd):
    with pytest.raises(OSError, match=r"worker processes exit during start-up \(exit status 1\)"):
        list(run(Local(do.Unreadable(), 2), Shards(range(1000))))
    assert "ZeroDivisionError" in capfd.readouterr().err


class Fleet(Engine):
    """An engine of two machines, of which one is unfit."""

    def __init__(self, unfit: set[str]):
        super().__init__(lambda unit, report: None)
        self.unfit, self.nodes, self.flying = unfit, ["a", "b"], []

    def room(self) -> int:
        return 1 - len(self.flying)

    def start(self, unit: Unit) -> None:
        self.flying.append(unit)

    def wait(self) -> Iterator[tuple[Unit, Outcome]]:
        node = self.nodes[0]
        yield self.flying.pop(), Unfit("another libjpeg", node) if node in self.unfit else Returned(Made())

    def avoid(self, node: str) -> bool:
        self.nodes.remove(node)
        return bool(self.nodes)

    def close(self) -> None:
        self.nodes = []


def test_the_work_of_an_unfit_machine_goes_to_another_one():
    assert finished(run(Fleet({"a"}), Shards([0, 1]))) == [Refused(0, "another libjpeg"), Done(0), Done(1)]
    assert finished(run(Fleet({"a", "b"}), Shards([0])))[-1] == Failed(0, "another libjpeg", storage=True)


def test_an_unknown_engine_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown engine 'loca': did you mean 'local'"):
        engines.load("loca")
