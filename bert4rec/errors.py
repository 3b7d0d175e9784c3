"""The one exception that means: the input can be mended, and the message says how."""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import typing
import warnings
from collections.abc import Iterable

import numpy as np


class InputError(ValueError):
    """Input that the caller can correct: a file, a column, an id, a setting.

    The message names the value that is wrong, says what was expected and suggests the fix. The
    command line prints it without a traceback.
    """


def note(text: str) -> None:
    """Warn in one plain line, without the file that says it, each time anew."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *rest, **more: f"note: {message}\n"
    try:
        warnings.warn_explicit(text, UserWarning, "bert4rec", 1, registry={})
    finally:
        warnings.formatwarning = before


def closest(name: object, known: Iterable[object], count: int = 3) -> list[str]:
    """Return the known names that resemble `name`, closest first, without regard to case."""
    by_lower = {str(candidate).lower(): str(candidate) for candidate in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=count, cutoff=0.6)
    return [by_lower[match] for match in near]


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """Return `" Did you mean 'a' or 'b'?"` for the closest known names, or an empty string."""
    return question(closest(name, known))


def question(near: list[str]) -> str:
    """Return `" Did you mean 'a' or 'b'?"`, or an empty string for no names."""
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def is_whole(value: typing.Any, least: int) -> bool:
    """Whether a value is a whole number of Python or numpy, and at least so large."""
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return number and value >= least


def check_types(config: object) -> None:
    """Check each field of a config against its type: int, float, bool or str, and None if allowed.

    Numbers of numpy become plain ones, which can be written as JSON.

    Raises:
        InputError: a value is of another type, or not a finite number.
    """
    kinds = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value, kind = getattr(config, field.name), kinds[field.name]
        allowed = typing.get_args(kind) or (kind,)
        if value is None and type(None) in allowed:
            continue
        wanted = next(one for one in allowed if one is not type(None))
        fits = {
            int: isinstance(value, numbers.Integral) and not isinstance(value, bool),
            float: isinstance(value, numbers.Real)
            and not isinstance(value, bool)
            and math.isfinite(value),
            bool: isinstance(value, bool | np.bool_),
            str: isinstance(value, str),
        }
        if not fits.get(wanted, True):
            words = {int: "a whole number", float: "a finite number", bool: "True or False"}
            default = field.default if field.default is not dataclasses.MISSING else 1
            raise InputError(
                f"{field.name} must be {words.get(wanted, 'a text')}, not {value!r}: "
                f"{field.name}={default!r}, for example."
            )
        if wanted in (int, float, bool):
            object.__setattr__(config, field.name, wanted(value))  # it is frozen for others
