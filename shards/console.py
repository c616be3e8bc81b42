"""What the four commands share: errors meant for people, and numbers printed for them."""

from __future__ import annotations

import os

import click


class Group(click.Group):
    """A click group whose expected errors end as one line on stderr and exit status 1.

    ``CODECPROOF_TRACEBACK=1`` in the environment shows where they come from.
    """

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            if isinstance(error, BrokenPipeError) or os.environ.get("CODECPROOF_TRACEBACK"):
                raise
            raise click.ClickException(str(error)) from error


def table(headings: list[str], rows: list[list[str]], left: tuple[int, ...] = (0,)) -> str:
    """Columns padded for a terminal: those in ``left`` to the left, the others to the right."""
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


def size(count: float) -> str:
    """Bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
