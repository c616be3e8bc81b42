"""What the workers of test_engine.py run: functions that other processes can import."""

import os
import signal
import time

from distort.units import Result


def work(unit, report):
    return Result(2, [{}])


def odd_ones_fail(unit, report):
    if unit.shard % 2:
        raise ValueError(f"shard {unit.shard} is odd")
    return Result()


def suicide(unit, report):
    if unit.shard == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return Result()


def disk_error(unit, report):
    raise OSError(28, "No space left on device")


def crash(unit, report):
    raise KeyError("surprise")


def threads(unit, report):
    if os.environ["OMP_NUM_THREADS"] != "1":
        raise ValueError("not single-threaded")
    return Result()


def slow(unit, report):
    time.sleep(60 * unit.shard)
    return Result(os.getpid())


class Unreadable:
    def __reduce__(self):
        return divmod, (1, 0)
