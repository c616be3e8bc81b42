"""Shared by the four commands: error messages, progress bars, tables and numbers."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Self

import click
import pyarrow as pa
from tqdm import tqdm

LIVE_EVERY = 0.2  #: seconds between updates of the line in a terminal
LOG_EVERY = 60.0  #: seconds between lines when stderr is not a terminal; shorter runs log nothing
LOG_LINE = "{desc}: {n_fmt}/{total_fmt}{unit}, {rate_noinv_fmt}, ETA {remaining}{postfix}"


class Command(click.Command):
    """A click command that says when an option was given twice; the last one counts, as everywhere."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, rest = list(args), super().parse_args(ctx, args)
        _, _, order = self.make_parser(ctx).parse_args(given)
        for option in dict.fromkeys(order):
            takes_one = isinstance(option, click.Option) and not (option.multiple or option.is_flag)
            if takes_one and order.count(option) > 1:
                value = ctx.params[option.name or ""]
                click.echo(f"note: {option.opts[-1]} is given twice; {value} counts", err=True)
        return rest


class Group(click.Group):
    """A click group whose expected errors end as one line on stderr and exit status 1.

    ``CODECPROOF_TRACEBACK=1`` in the environment shows the traceback.
    """

    command_class = Command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            if isinstance(error, BrokenPipeError) or os.environ.get("CODECPROOF_TRACEBACK"):
                raise
            raise click.ClickException(plain(str(error))) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Every command with its whole summary; click would cut it off."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.summary(ctx, name)) for name in self.list_commands(ctx)])

    def summary(self, ctx: click.Context, name: str) -> str:
        """The first line of a command's help."""
        command = self.get_command(ctx, name)
        return ((command and command.help) or "").strip().partition("\n")[0]


class Checked(click.ParamType):
    """Text that ``check`` accepts. A ValueError from ``check`` becomes a usage error."""

    def __init__(self, name: str, check: Callable[[str], object]):
        self.name, self.check = name, check

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            self.check(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


def _something(text: str) -> None:
    if not text.strip():
        raise ValueError("it is empty: is a shell variable unset?")


SOMETHING = Checked("text", _something)  #: refuses empty values, which often come from unset shell variables


def names(text: str, where: str | None = None) -> list[str]:
    """The names in a comma-separated list. Raises ValueError when it or a name is empty, or one is there twice.

    ``where`` is what the error calls the list; by default it quotes ``text``.
    """
    if not text.strip():
        raise ValueError(f"{where or 'the list'} is empty: is a shell variable unset?")
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ValueError(f"{where or repr(text)} has an empty name: remove the extra comma")
    for name in found:
        if found.count(name) > 1:
            raise ValueError(f"{where or repr(text)} names {name} twice")
    return found


NAMES = Checked("names", names)  #: a comma-separated list


class PathType(click.Path):
    """``click.Path``, which takes an empty value for the current folder; here it is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(SOMETHING.convert(os.fspath(value), param, ctx), param, ctx)


class FloatRange(click.FloatRange):
    """A finite number within bounds: NaN and infinity, which click lets through open bounds, are refused.

    ``infinite`` lets infinity through, for an option whose help says what it means.
    """

    def __init__(
        self, min: float | None = None, max: float | None = None, *, infinite: bool = False, **more: Any
    ):  # fmt: skip
        super().__init__(min, max, **more)
        self.infinite = infinite

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = super().convert(value, param, ctx)
        except OverflowError:  # a whole number from Python
            number = math.inf
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        if math.isinf(number) and not self.infinite:
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class _WithoutPandas:
    """An importer that finds no pandas."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def leave_pandas_out() -> None:
    """Keep pyarrow from importing pandas, if installed, for its first array: a third of a second in every process.

    ``to_pandas`` of a table still imports it.
    """
    importer: Any = _WithoutPandas
    sys.meta_path.insert(0, importer)
    pa.array([0])
    sys.meta_path.remove(importer)


def run(command: click.Group, name: str) -> NoReturn:
    """Run ``command`` as the program ``name`` and end the process with its status.

    The destructors of native libraries are skipped. Arrow's abort if one of its threads is still starting, which
    would kill a short command on a busy machine after its work is done.
    """
    leave_pandas_out()
    try:
        command.main(prog_name=name)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a closed pipe
            stream.flush()
    os._exit(status)


class Bar:
    """Progress on stderr: one live line that fits the terminal, or one line per minute in a log.

    >>> with Bar("verify", total=40, unit="shards") as bar:
    ...     for done, problems in enumerate(checked, 1):
    ...         bar.update(done, f"{len(problems)} problems")
    """

    def __init__(self, title: str, total: int, unit: str = "images", done: int = 0, quiet: bool = False):
        """``done``: units finished before; they do not count towards the speed. ``quiet``: show nothing."""
        self.live = not quiet and sys.stderr.isatty()
        self.logs = not quiet and not self.live
        self.note = ""
        self._line = _Line(
            desc=title, total=total, initial=done, unit=f" {unit}", leave=False, smoothing=0.05, ncols=_columns(),
            mininterval=0, file=sys.stderr, disable=not self.live,
        )  # fmt: skip
        self.done = done
        self._title, self._total, self._unit, self._before = title, total, unit, done
        self._start = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def due(self) -> bool:
        """Whether the next ``update`` would be shown; expensive notes can be skipped otherwise."""
        every = LIVE_EVERY if self.live else LOG_EVERY
        return (self.live or self.logs) and time.monotonic() - self._shown >= every

    def update(self, done: int, note: str | None = None) -> None:
        """Show that ``done`` of the total are finished; ``note`` is shown after the numbers until replaced."""
        self.done, self.note = done, self.note if note is None else note
        if not self.due:
            return
        self._shown = time.monotonic()
        if self.live:
            self._line.ncols = _columns()
            self._line.set_postfix_str(self.note, refresh=False)
            self._line.update(done - self._line.n)
        else:
            click.echo(self._log_line(), err=True)

    def say(self, text: str, err: bool = True) -> None:
        """Print a message above the progress line: on stderr, or on stdout if not ``err``."""
        with tqdm.external_write_mode(file=sys.stderr):
            click.echo(text, err=err)

    def close(self) -> None:
        """Remove the line; the command's summary repeats its final numbers."""
        self._line.close()

    def _log_line(self) -> str:
        # Only this run's items count for the speed, not those finished before the start.
        return tqdm.format_meter(
            self.done, self._total, self._shown - self._start, initial=self._before, prefix=self._title,
            unit=f" {self._unit}", postfix=self.note, bar_format=LOG_LINE,
        )  # fmt: skip


class _Line(tqdm):
    monitor_interval = 0  # no monitor thread: we redraw on time ourselves, and forking with threads is unsafe


def _columns() -> int:
    """Width of stderr's terminal minus one, because some terminals wrap at the last column."""
    try:
        return (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
    except (OSError, ValueError):  # no terminal, or no file at all
        return 79


def plain(text: str, keep: str = "\n") -> str:
    """Escape control characters, except those in ``keep``, because names come from untrusted files."""
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def table(headings: list[str], rows: list[list[str]], left: tuple[int, ...] = (0,)) -> str:
    """A table for a terminal: columns in ``left`` are left-aligned, the others right-aligned."""
    cells = [headings, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def number(value: float | None, digits: int, missing: str = "–") -> str:
    return missing if value is None else f"{value:,.{digits}f}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``count`` and the word for it: "1 shard", "1,000 shards"."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def size(count: float) -> str:
    """A human-readable number of bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
