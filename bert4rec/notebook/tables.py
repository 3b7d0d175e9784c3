"""How tables look in a notebook: text to the left, three digits, one row of names, nothing cut.

pandas puts text to the right, prints six digits, cuts long texts, and gives the name of the index a
row of its own.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .shell import notebook_shell


def table_html(table: pd.DataFrame) -> str | None:
    """A table as HTML; as pandas draws it if its names have levels or some of it is left out."""
    levels = table.index.nlevels > 1 or table.columns.nlevels > 1
    shown = (pd.get_option("display.max_rows"), pd.get_option("display.max_columns"))
    if levels or any(most and size > most for size, most in zip(table.shape, shown, strict=True)):
        return table._repr_html_()
    names = ["" if name is None else str(name) for name in (table.index.name, *table.columns)]
    columns = [table.index, *(table.iloc[:, number] for number in range(table.shape[1]))]
    left = [number == 0 or not _of_numbers(column) for number, column in enumerate(columns)]
    head = _row(names, left, names=len(names))
    lines = ['<table class="dataframe">', f"<thead>{head}</thead>", "<tbody>"]
    lines += [_row(row, left, names=1) for row in zip(*map(_texts, columns), strict=True)]
    return "\n".join([*lines, "</tbody>", "</table>"])


def use_tables() -> None:
    """In a notebook, draw every table so from now on."""
    shell = notebook_shell()
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, table_html)


def _of_numbers(column: pd.Series | pd.Index) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _texts(column: pd.Series | pd.Index) -> list[str]:
    """The entries of a column; floats with three digits, or as few as all of them need."""
    if not pd.api.types.is_float_dtype(column):
        return [_text(value) for value in column]
    values = column.to_numpy(dtype=float, na_value=np.nan)
    if ((np.abs(values) < 5e-4) & (values != 0)).any():
        return [f"{value:.3g}" for value in values]
    digits = 3
    while digits > 1 and np.allclose(values, values.round(digits - 1), 0, 5e-4, equal_nan=True):
        digits -= 1
    return [f"{value:.{digits}f}" for value in values]


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _row(texts: Sequence[str], left: Sequence[bool], names: int) -> str:
    """A row, the first `names` cells of which are names."""
    cells = []
    for number, (text, to_left) in enumerate(zip(texts, left, strict=True)):
        tag = "th" if number < names else "td"
        side = "left" if to_left else "right"
        cells.append(f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag}>')
    return f"<tr>{''.join(cells)}</tr>"
