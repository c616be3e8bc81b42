"""The grammar of distortion names, as text: nothing here needs the codec to be installed.

::

    distortion = step *( "+" step )
    step       = NAME [ "-" VALUE ] *( ":" WORD )

In ``noise-20+jpeg-10:444`` the second step has the NAME jpeg, the VALUE 10 and one WORD, the option 444. VALUE
is the decimal number after the last dash, so a NAME may hold dashes itself. A step that takes a file has it as its
words (``pre:small=runs/small/best.safetensors``); in a column's name only the label is left (``pre:small``).
A file whose path holds ``+`` or ``,`` has to be given by another path, a symbolic link say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath

JOIN, OPTION = "+", ":"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:-[A-Za-z][A-Za-z0-9_]*)*")  #: what a codec may be registered as
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
    """The steps of a name. Any text has some: whether a step exists is for ``distort.distortion.parse`` to say."""
    return tuple(_step(part.strip()) for part in distortion.split(JOIN))


def join(steps: Iterable[StepName]) -> str:
    """The name that ``split`` takes apart."""
    return JOIN.join(map(str, steps))


def number(value: float) -> str:
    """A value as names write it: exact, without an exponent or a fraction of zeros; 75.0 is "75"."""
    return format(Decimal(repr(value)).normalize(), "f")


def file_and_label(words: tuple[str, ...]) -> tuple[str, str]:
    """FILE and label of the words ``[LABEL=]FILE``. Without a label, the file's name without folder and suffix."""
    text = OPTION.join(words)
    label, equals, file = text.partition("=")
    if equals and LABEL.fullmatch(label):
        return file, label
    return text, re.sub(r"[^A-Za-z0-9_.-]", "_", PurePosixPath(text).stem)


def _step(text: str) -> StepName:
    match = STEP.fullmatch(text)
    assert match  # every part of it may be empty
    return StepName(match["name"], match["value"], tuple(match["words"].split(OPTION)[1:]))
