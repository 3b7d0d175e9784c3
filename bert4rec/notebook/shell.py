"""The notebook that a cell runs in, if one does."""

from __future__ import annotations

import sys
from typing import Any


def notebook_shell() -> Any:
    """IPython's shell, or None outside of a notebook; IPython is not imported for the question."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
