"""What the workers of test_engine.py run: functions that other processes can import."""

import os
import signal
import time

from distort.shard import ShardMaker
from distort.units import Made, MakePictures


def work(unit, report):
    return Made(2, [{}])


def odd_ones_fail(unit, report):
    if unit.shard % 2:
        raise ValueError(f"shard {unit.shard} is odd")
    return Made()


def suicide(unit, report):
    if unit.shard == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return Made()


def disk_error(unit, report):
    raise OSError(28, "No space left on device")


def crash(unit, report):
    raise KeyError("surprise")


def threads(unit, report):
    if os.environ["OMP_NUM_THREADS"] != "1":
        raise ValueError("not single-threaded")
    return Made()


def slow(unit, report):
    time.sleep(60 * unit.shard)
    return Made(os.getpid())


class Unreadable:
    def __reduce__(self):
        return divmod, (1, 0)


class Crashing(ShardMaker):
    """One picture crashes its decoder."""

    def _pictures(self, unit: MakePictures, errors):
        if "chelsea_3" in str(unit.rows) and not unit.died:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield from super()._pictures(unit, errors)
