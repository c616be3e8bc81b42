"""The grammar of distortion names. It works on text only: the codecs need not be installed.

::

    distortion = step *( "+" step )
    step       = NAME [ "-" VALUE ] *( ":" WORD )

In ``noise-20+jpeg-10:444`` the second step has the NAME jpeg, the VALUE 10 and one WORD, the option 444. VALUE
is the decimal number after the last dash, so a NAME may contain dashes. A step that takes a file has the words
``[LABEL=]FILE`` (``pre:small=runs/small/best.safetensors``); a column's name keeps only the label (``pre:small``).
The path of the file must not contain ``+`` or ``,``; use a symbolic link for one that does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath

JOIN, OPTION = "+", ":"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z][A-Za-z0-9_]*)*")  #: a codec's registered name
NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
STEP = re.compile(rf"(?P<name>[^:]*?)(?:-(?P<value>{NUMBER.pattern}))?(?P<words>(?::[^:]*)*)", re.DOTALL)
LABEL = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class StepName:
    """One step of a distortion's name."""

    name: str  #: of the codec or filter
    value: str | None = None  #: as written; None when no number follows the last dash
    words: tuple[str, ...] = ()  #: options, or the parts of a file between colons

    def __str__(self) -> str:
        head = self.name if self.value is None else f"{self.name}-{self.value}"
        return OPTION.join((head, *self.words))


def split(distortion: str) -> tuple[StepName, ...]:
    """The steps of a name. Any text has at least one; ``distort.distortion.parse`` checks that they exist."""
    return tuple(_step(part.strip()) for part in distortion.split(JOIN))


def join(steps: Iterable[StepName]) -> str:
    """The inverse of ``split``."""
    return JOIN.join(map(str, steps))


def number(value: float) -> str:
    """A value as it appears in names: exact, without exponent and trailing zeros; 75.0 is "75"."""
    return format(Decimal(repr(value)).normalize(), "f")


def file_and_label(words: tuple[str, ...]) -> tuple[str, str]:
    """FILE and label of the words ``[LABEL=]FILE``. The default label is the file's name without extension."""
    text = OPTION.join(words)
    label, equals, file = text.partition("=")
    if equals and LABEL.fullmatch(label):
        return file, label
    return text, re.sub(r"[^A-Za-z0-9_.-]", "_", PurePosixPath(text).stem)


def _step(text: str) -> StepName:
    match = STEP.fullmatch(text)
    assert match  # every part of it may be empty
    return StepName(match["name"], match["value"], tuple(match["words"].split(OPTION)[1:]))
