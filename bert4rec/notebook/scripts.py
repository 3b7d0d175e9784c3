"""Scripts of the live figures and of the live page, as they stand in a page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def script(folder: Path, names: Iterable[str]) -> str:
    """Modules of a folder as one: their imports fall away, and so does `export`.

    Browsers load no modules from a disk, so they are put into the page one after another.

    Args:
        folder: with a .js file for each name.
        names: in an order in which each uses only those before it.
    """
    texts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in names]
    without = [re.sub(r"^import [^;]+;\n", "", text, flags=re.M) for text in texts]
    return "\n".join(re.sub(r"^export ", "", text, flags=re.M) for text in without)
