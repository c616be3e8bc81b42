"""Options as dataclass fields: one definition of type, default and help for the command line and Python.

>>> @dataclass(frozen=True)
... class Options:
...     column: str = option(help="The distortion to train for, as jpeg-10.")
...     alpha: float | None = option(None, help="Weight of the second term.", minimum=0)
"""

from __future__ import annotations

import dataclasses
import functools
import types
from dataclasses import MISSING, field
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click

from shards.console import SOMETHING, Checked, FloatRange


def option(default: Any = MISSING, *, help: str, **more: Any) -> Any:
    """A field that is also an option; without a default it is required.

    ``minimum`` and ``maximum`` bound a number, ``above`` and ``below`` do so exclusively; ``infinite``
    allows infinity; ``metavar`` names the value in the help text.
    """
    return field(default=default, metadata={"help": help, **more})


@functools.cache
def click_options(options: type) -> tuple[click.Option, ...]:
    """A ``click.Option`` for every field of the dataclass that ``option`` made, in their order."""
    hints = get_type_hints(options)
    return tuple(_click(item, hints[item.name]) for item in dataclasses.fields(options) if "help" in item.metadata)


def _click(item: dataclasses.Field, hint: Any) -> click.Option:
    flag, meta = "--" + item.name.replace("_", "-"), item.metadata
    required = item.default is MISSING
    if hint is bool:
        declared = f"{flag}/--no-{flag[2:]}" if item.default else flag
        return click.Option([declared], is_flag=True, default=item.default, help=meta["help"],
                            show_default=bool(item.default))  # fmt: skip
    default = (
        {"required": True} if required else {"default": item.default, "show_default": item.default is not None}
    )
    return click.Option([flag], type=_type(hint, meta), help=meta["help"], metavar=meta.get("metavar"), **default)


def _type(hint: Any, meta: Any) -> click.ParamType:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    low, high = meta.get("minimum", meta.get("above")), meta.get("maximum", meta.get("below"))
    if hint is float:
        infinite = meta.get("infinite", False)
        return FloatRange(low, high, min_open="above" in meta, max_open="below" in meta, infinite=infinite)
    if hint is int:
        return click.IntRange(low, high)
    return SOMETHING


#: What a value from Python has to be.
_PYTHON: dict[type, tuple[Any, str]] = {
    click.types.BoolParamType: (bool, "True or False"),
    Checked: (str, "text"),
    click.Choice: (str, "text"),
    FloatRange: (int | float, "a number"),
    click.IntRange: (int, "a whole number"),
}


def check(values: object) -> None:
    """Raises ValueError when a field of an options dataclass is outside its bounds or of another type."""
    context = click.Context(click.Command("check"))
    kind: type = type(values)
    for parameter in click_options(kind):
        value = getattr(values, parameter.name or "")
        if value is None and not parameter.required:
            continue
        python, said = _PYTHON[type(parameter.type)]
        if not isinstance(value, python) or (isinstance(value, bool) and python is not bool):
            raise ValueError(f"{parameter.name}: {value!r} is not {said}")
        try:
            parameter.type.convert(value, parameter, context)
        except click.BadParameter as error:
            raise ValueError(f"{parameter.name}: {error.message}") from None
