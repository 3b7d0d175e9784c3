"""What was written in one notebook, in another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InputError


def reuse(notebook: str | Path, tag: str) -> dict[str, Any]:
    """Run the code cells of a notebook that carry a tag, as they are now, changes included.

    Args:
        notebook: the file, as "03_build_bert.ipynb".
        tag: of the cells, in their metadata.

    Returns:
        the names that those cells define.

    Raises:
        InputError: there is no such notebook, or it has no cell with that tag.
    """
    path = Path(notebook)
    if not path.is_file():
        raise InputError(f"{path}: there is no such notebook beside this one.")
    cells = [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code" and tag in cell["metadata"].get("tags", [])
    ]
    if not cells:
        raise InputError(f'{path}: no cell carries the tag "{tag}"; was the notebook changed?')
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells, start=1):
        exec(compile(cell, f"<{path.name}, cell {number} of {tag}>", "exec"), names)
    del names["__builtins__"]
    return names
