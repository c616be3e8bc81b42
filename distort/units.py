"""The units that engines run and their order: whole shards, or the pictures of a few shards at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from distort.engines.base import DEATHS, Died, Done, Event, Failed, Progressed, Unit
from distort.preflight import hopeless
from distort.stages import Stages
from shards.dataset import Dataset

MARK_EVERY = 60  #: seconds between refreshes of the markers of running shards
CHUNK = 8  #: pictures in a unit, at most
REMOTE_CHUNK = 64  #: the same for a remote source, where pictures are fetched concurrently


@dataclass(frozen=True, eq=False)
class WholeShard(Unit):
    """Make a shard from beginning to end. Returns ``Made``."""

    shard: int


@dataclass(frozen=True, eq=False)
class OpenShard(Unit):
    """Find out what is missing in a shard. Returns ``ShardContents``, or None when the shard is complete."""

    shard: int
    scratch: Path


@dataclass(frozen=True, eq=False)
class MakePictures(Unit):
    """Make the samples of some pictures of an open shard, into a part. Returns ``Made``."""

    shard: int
    scratch: Path
    columns: tuple[str, ...]  #: to be made
    first: int  #: index of the first picture in the shard
    rows: list[dict]  #: of the manifest, or of the stored clean crops
    died: str = ""  #: how the workers that tried this single picture died; if set, the picture is recorded as bad


@dataclass(frozen=True, eq=False)
class CommitColumn(Unit):
    """Assemble one column of a shard from its parts and publish it. Returns ``Made``."""

    shard: int
    scratch: Path
    columns: tuple[str, ...]  #: in the parts
    column: str
    parts: list[Path]  #: in order


@dataclass(frozen=True)
class ShardContents:
    """What has to be made for a shard."""

    columns: tuple[str, ...]
    rows: list[dict]  #: one per picture, or per stored crop
    stored: bool  #: the clean crops exist; only columns are added


@dataclass(frozen=True)
class Made:
    done: int = 0  #: pictures, or stored crops
    errors: list[dict] = field(default_factory=list)  #: bad pictures: source and reason
    part: Path | None = None
    stages: Stages = field(default_factory=Stages)


class Shards:
    """Whole shards, one after the other: for engines whose workers do not share a disk."""

    def __init__(self, todo: Iterable[int]):
        self.todo: deque[Unit] = deque(map(WholeShard, todo))
        self.size = len(self.todo)
        self.stages = Stages()

    def next(self) -> Unit | None:
        return self.todo.popleft() if self.todo else None

    def again(self, unit: Unit) -> None:
        self.todo.appendleft(unit)

    def ended(self, unit: Unit, value: Made) -> Iterator[Event]:
        self.stages.add(value.stages)
        yield Progressed(unit.shard, value.done, len(value.errors))
        yield Done(unit.shard)

    def failed(self, unit: Unit, reason: str, storage: bool = False) -> Iterator[Event]:
        yield Failed(unit.shard, reason, storage)

    def fatal(self, unit: Unit, died: Died) -> Iterator[Event]:
        yield Failed(unit.shard, f"its worker died {DEATHS} times ({died.how})")

    def close(self) -> None:
        pass


class PictureWork:
    """Pictures of a few shards at a time, just enough to keep all workers of one machine busy.

    A shard is opened, free workers make its pictures in chunks, and after the last chunk its columns are
    committed. The scratch folder belongs to this process, because workers may be replaced.
    """

    def __init__(self, dataset: Dataset, todo: Iterable[int], workers: int, max_bad: float, chunk: int = CHUNK):
        self.dataset, self.workers, self.max_bad, self.chunk = dataset, workers, max_bad, chunk
        self.todo = deque(todo)
        self.left = sum(map(dataset.plan.pictures_of, self.todo))  #: pictures not started
        self.size = -(-self.left // chunk)
        self.open: dict[int, _Open] = {}  #: in the order of opening
        self.retries: deque[Unit] = deque()
        self.stages = Stages()
        self.marked = time.monotonic()

    def next(self) -> Unit | None:
        if self.retries:
            return self.retries.popleft()
        for shard, state in self.open.items():
            if state.complete and state.uncommitted:
                column = state.uncommitted.popleft()
                return CommitColumn(shard, state.scratch, state.contents.columns, column, state.ordered_parts())
        if self.todo and self._ahead() < 2 * self.workers * self.chunk:
            return self._open(self.todo.popleft())
        for shard, state in self.open.items():
            if state.opened and state.begun < len(state.contents.rows):
                return self._chunk(shard, state)
        return None

    def _ahead(self) -> int:
        """Pictures of open shards that have not been started."""
        count = self.dataset.plan.pictures_of
        return sum(
            count(shard) if state.opened is None else len(state.contents.rows) - state.begun
            for shard, state in self.open.items()
        )

    def _open(self, shard: int) -> Unit:
        stack = ExitStack()
        scratch = stack.enter_context(self.dataset.storage.scratch(shard))
        self.open[shard] = _Open(stack, scratch)
        return OpenShard(shard, scratch)

    def _chunk(self, shard: int, state: _Open) -> Unit:
        """The next pictures of a shard. Chunks shrink towards the end, so that all workers finish together."""
        size = max(1, min(self.chunk, self.left // (4 * self.workers)))
        rows = state.contents.rows[state.begun : state.begun + size]
        unit = MakePictures(shard, state.scratch, state.contents.columns, state.begun, rows)
        state.begun += len(rows)
        self.left -= len(rows)
        return unit

    def again(self, unit: Unit) -> None:
        """Retry pictures one by one, to find the one that killed the worker."""
        if isinstance(unit, MakePictures) and len(unit.rows) > 1:
            singles = (
                MakePictures(unit.shard, unit.scratch, unit.columns, unit.first + i, [row])
                for i, row in enumerate(unit.rows)
            )
            self.retries.extend(singles)
        else:
            self.retries.append(unit)

    def ended(self, unit: Unit, value: ShardContents | Made | None) -> Iterator[Event]:
        self._mark()
        state = self.open.get(unit.shard)
        if isinstance(value, Made):
            self.stages.add(value.stages)
        if state is None:  # the shard has failed meanwhile
            return
        if isinstance(value, ShardContents):
            state.opened, state.uncommitted = value, deque(value.columns)
            self.left += len(value.rows) - self.dataset.plan.pictures_of(unit.shard)
        elif isinstance(unit, MakePictures) and isinstance(value, Made):
            yield from self._made(unit, value, state)
        elif isinstance(unit, CommitColumn) and state.committed + 1 < len(state.contents.columns):
            state.committed += 1
        else:
            self._close(unit.shard)
            yield Done(unit.shard)

    def _made(self, unit: MakePictures, value: Made, state: _Open) -> Iterator[Event]:
        assert value.part is not None  # MakePictures always writes a part
        state.parts[unit.first] = value.part
        state.done += value.done
        state.errors += value.errors
        if reason := hopeless(unit.shard, state.done, state.errors, self.max_bad):
            yield from self.failed(unit, reason, storage=True)
            return
        crops = self.dataset.plan.crops if state.contents.stored else 1
        yield Progressed(unit.shard, state.done // crops, len(state.errors))

    def failed(self, unit: Unit, reason: str, storage: bool = False) -> Iterator[Event]:
        if unit.shard in self.open:
            self._close(unit.shard)
            self.retries = deque(other for other in self.retries if other.shard != unit.shard)
            yield Failed(unit.shard, reason, storage)

    def fatal(self, unit: Unit, died: Died) -> Iterator[Event]:
        """A single picture that crashes its decoder is bad; any other cause of death fails the shard."""
        how = f"its worker died {DEATHS} times ({died.how})"
        if not isinstance(unit, MakePictures) or unit.shard not in self.open:
            yield from self.failed(unit, how)
        elif died.crashed and not unit.died and not self.open[unit.shard].contents.stored:
            self.retries.append(replace(unit, died=how))
        else:
            yield from self.failed(unit, f"{unit.rows[0]['source']}: {how}")

    def _mark(self) -> None:
        if time.monotonic() - self.marked > MARK_EVERY:
            self.marked = time.monotonic()
            for shard, state in self.open.items():
                self.dataset.storage.announce(state.scratch, shard)

    def _close(self, shard: int) -> None:
        state = self.open.pop(shard)
        count = len(state.contents.rows) if state.opened else self.dataset.plan.pictures_of(shard)
        self.left -= count - state.begun
        state.stack.close()

    def close(self) -> None:
        for shard in list(self.open):
            self._close(shard)


@dataclass
class _Open:
    """A shard that is being made."""

    stack: ExitStack  #: holds its scratch folder
    scratch: Path
    opened: ShardContents | None = None
    begun: int = 0  #: rows handed out
    done: int = 0
    uncommitted: deque[str] = field(default_factory=deque)  #: columns whose commit has not started
    committed: int = 0  #: number of committed columns
    parts: dict[int, Path] = field(default_factory=dict)  #: index of the first picture -> part
    errors: list[dict] = field(default_factory=list)

    @property
    def contents(self) -> ShardContents:
        """The contents of the shard, known once it has been opened."""
        assert self.opened is not None
        return self.opened

    @property
    def complete(self) -> bool:
        return self.opened is not None and self.done == len(self.opened.rows)

    def ordered_parts(self) -> list[Path]:
        return [self.parts[first] for first in sorted(self.parts)]
