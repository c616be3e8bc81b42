"""The local engine: every shard ends exactly once, whatever happens to the workers."""

import os
import signal
import time

from distort.engines import Done, Failed, Progress
from distort.engines.local import map_unordered


def work(shard, report):
    report(1, 0)
    report(2, 1)


def odd_ones_fail(shard, report):
    if shard % 2:
        raise ValueError(f"shard {shard} is odd")


def suicide(shard, report):
    if shard == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def disk_error(shard, report):
    raise OSError(28, "No space left on device")


def crash(shard, report):
    raise KeyError("surprise")


def threads(shard, report):
    if os.environ["OMP_NUM_THREADS"] != "1":
        raise ValueError("not single-threaded")


def slow(shard, report):
    report(os.getpid(), 0)
    time.sleep(60)


def finished(events):
    return sorted((event for event in events if not isinstance(event, Progress)), key=lambda e: e.shard)


def test_every_shard_is_done_once_and_reports():
    events = list(map_unordered(work, range(5), workers=2))
    assert finished(events) == [Done(i) for i in range(5)]
    assert events.count(Progress(3, 2, 1)) == 1


def test_a_failing_shard_does_not_stop_the_others():
    events = finished(map_unordered(odd_ones_fail, range(4), workers=2))
    assert events == [Done(0), Failed(1, "shard 1 is odd"), Done(2), Failed(3, "shard 3 is odd")]


def test_a_shard_that_kills_its_worker_twice_fails_and_the_others_go_on():
    events = finished(map_unordered(suicide, range(5), workers=2))
    assert [type(event) for event in events] == [Done, Done, Failed, Done, Done]
    assert "died 2 times (killed by SIGKILL" in events[2].reason


def test_storage_errors_are_marked_and_crashes_carry_their_traceback():
    (failed,) = map_unordered(disk_error, [0], workers=1)
    assert failed.storage
    assert "No space left" in failed.reason
    (failed,) = map_unordered(crash, [0], workers=1)
    assert "Traceback" in failed.reason
    assert "KeyError: 'surprise'" in failed.reason


def test_workers_are_single_threaded_and_leave_our_environment_alone():
    before = os.environ.get("OMP_NUM_THREADS")
    assert list(map_unordered(threads, [0], workers=1)) == [Done(0)]
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_leaving_kills_the_workers():
    events = map_unordered(slow, [0], workers=1)
    pid = next(events).done
    events.close()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the worker is still there")


def test_nothing_to_do_starts_nothing():
    assert list(map_unordered(work, [], workers=2)) == []
