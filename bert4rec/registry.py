"""Things by name, of which a setting names one: losses, masks, metrics, sublayers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

from .errors import InputError, did_you_mean

Thing = TypeVar("Thing")


class Registry(dict[str, Thing], Generic[Thing]):
    """A dictionary that is filled by a decorator, and says what there is.

        @LOSSES.register("squared")
        def squared(hidden, weight, bias, labels): ...

        TrainingConfig(loss="squared")

    Args:
        what: the setting that names one of them.
    """

    def __init__(self, what: str):
        super().__init__()
        self.what = what

    def register(self, name: str) -> Callable[[Thing], Thing]:
        """Return a decorator that enters a function or class under a name."""

        def enter(thing: Thing) -> Thing:
            self[name] = thing
            return thing

        return enter

    def check(self, name: str) -> None:
        """Raise InputError if nothing is called so."""
        if name not in self:
            raise InputError(
                f"{self.what} must be one of {', '.join(self)}, not {name!r}."
                + did_you_mean(name, self)
            )


def sort_options(
    options: Mapping[str, Any], kinds: Iterable[type], settings: Iterable[type] = ()
) -> tuple[list[Any], dict[str, Any]]:
    """Sort options by the dataclass whose fields they are.

    Args:
        options: values by name.
        kinds: dataclasses to make.
        settings: dataclasses whose fields may be among the options too.

    Returns:
        One of each kind, and the options that are settings.

    Raises:
        InputError: an option is none of these.
    """
    rest, known = dict(options), {f.name for kind in (*kinds, *settings) for f in fields(kind)}
    for name in rest:
        if name not in known:
            raise InputError(f"there is no option {name!r}." + did_you_mean(name, known))
    made = [
        kind(**{f.name: rest.pop(f.name) for f in fields(kind) if f.name in rest}) for kind in kinds
    ]
    return made, rest
