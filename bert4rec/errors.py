"""The one exception that means: the input can be mended, and the message says how."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that the caller can correct: a file, a column, an id, a setting.

    The message names the value that is wrong, says what was expected and suggests the fix. The
    command line prints it without a traceback.
    """


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
