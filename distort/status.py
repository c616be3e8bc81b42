"""Progress of a dataset, computed on any machine from listings and from the times of commit marks and markers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tqdm import tqdm

from shards.column import COLUMN
from shards.console import plural
from shards.dataset import Dataset
from shards.plan import FILE, Plan, column_folder
from shards.storage import Marker

WINDOW = 15 * 60  #: seconds over which the speed is measured
SILENCE = 10 * 60  #: a shard no longer counts as running after this many seconds without a refresh of its marker


@dataclass(frozen=True)
class Status:
    done: int  #: shards with every column
    running: int
    missing: int
    machines: int  #: working on the running shards
    speed: float | None  #: pictures per second
    left: float | None  #: seconds
    seen: float  #: the latest marker refresh or commit, seconds since 1970


def estimate(
    plan: Plan, finished: dict[int, float], markers: list[Marker], begun: list[float], now: float
) -> Status:
    """The status of a dataset from the times of its files, in seconds since 1970.

    ``finished``: when each finished shard was committed. ``begun``: when the plan and columns were written. These
    times are only compared with each other, so clocks need not agree, except that running shards are chosen with
    ``now``, this machine's clock.
    """
    seen = max([*finished.values(), *(marker.seen for marker in markers)], default=0.0)
    alive = [m for m in markers if m.shard not in finished and m.seen > max(seen, now) - SILENCE]
    running = {marker.shard for marker in alive}
    missing = plan.shards - len(finished) - len(running)
    speed = _speed(plan, finished, begun)
    rest = plan.pictures - sum(map(plan.pictures_of, finished))
    left = rest / speed if speed and running else 0.0 if not rest else None
    machines = len({marker.who.rsplit("-", 2)[0] for marker in alive})
    return Status(len(finished), len(running), missing, machines, speed, left, seen)


def _speed(plan: Plan, finished: dict[int, float], begun: list[float]) -> float | None:
    """Pictures per second up to the newest commit mark, since the start of the window or of the work if later."""
    if not finished:
        return None
    newest, oldest = max(finished.values()), min(finished.values())
    start = max(newest - WINDOW, max((t for t in begun if t <= oldest), default=oldest))
    count = sum(plan.pictures_of(shard) for shard, when in finished.items() if when > start)
    return count / (newest - start) if newest > start and count else None


def look(dataset: Dataset) -> Status:
    """Read the state of a dataset. Raises OSError when the storage cannot be reached."""
    with ThreadPoolExecutor(16) as pool:
        times = list(pool.map(lambda name: dataset.storage.times(column_folder(name)), dataset.columns))
    done = [{s for s in dataset.shards_in(column) if f"{s:06d}.tar" in column} for column in times]
    finished = {
        shard: max(column[f"{shard:06d}.parquet"] for column in times)
        for shard in (set.intersection(*done) if done else ())
    }
    begun = [dataset.storage.times("")[FILE], *(column[COLUMN] for column in times if COLUMN in column)]
    return estimate(dataset.plan, finished, dataset.storage.markers(), begun, time.time())


def describe(dataset: Dataset) -> str:
    """The lines that ``distort status`` prints."""
    status, plan = look(dataset), dataset.plan
    with ThreadPoolExecutor(16) as pool:
        bad = sum(pool.map(dataset.bad_pictures, dataset.shards_with_errors()))
    machines = f" on {plural(status.machines, 'machine')}" if status.running else ""
    speed = "–" if status.speed is None else f"{status.speed:,.1f}"
    left = "–" if status.left is None else tqdm.format_interval(status.left)
    seen = f"{tqdm.format_interval(max(0, time.time() - status.seen))} ago" if status.seen else "never"
    columns = ", ".join(dataset.columns)
    lines = [
        f"{dataset.storage.url}: {plural(plan.shards, 'shard')}, {plural(plan.pictures, 'picture')}, "
        f"columns {columns}",
        f"shards     done {status.done}, running {status.running}{machines}, missing {status.missing}",
        f"speed      {speed} images/s over the last {WINDOW // 60} minutes of work, ETA {left}",
        f"last seen  {seen}",
        f"bad        {plural(bad, 'picture')}" + (f", see 'shards errors {dataset.storage.url}'" if bad else ""),
    ]
    return "\n".join(lines)
