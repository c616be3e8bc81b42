"""What kills a child is told of the item that did, and costs nothing else."""

import os
import signal

from distort.isolated import each


def work(item: int) -> str | None:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 5:
        os._exit(7)
    return f"bad {item}" if item == 1 else None


def test_each_item_is_answered_also_after_deaths():
    died = ["its decoder died (SIGKILL)", "its decoder died (exit status 7)"]
    assert list(each(work, range(7))) == [None, "bad 1", None, died[0], None, died[1], None]
    assert list(each(work, [3])) == died[:1]
    assert list(each(work, [])) == []


def test_the_child_ends_with_the_iteration():
    pids = []
    answers = each(lambda item: str(os.getpid()), range(10))
    pids.append(int(next(answers)))
    answers.close()
    assert not os.path.exists(f"/proc/{pids[0]}")
