"""Things by name, of which a setting names one: losses, masks, metrics, sublayers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

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
