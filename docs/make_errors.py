"""Write errors.md: every message that bert4rec raises or warns with, read from its source.

python docs/make_errors.py
"""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "bert4rec"

INTRODUCTION = (HERE / "errors_introduction.md").read_text(encoding="utf-8")
# names in a message's code that tell a reader nothing
DUMB = [
    "len",
    "str",
    "repr",
    "map",
    "self",
    "type",
    "sum",
    "int",
    "float",
    "list",
    "join",
    "getattr",
    "iloc",
    "isinstance",
    "flat",
    "splitlines",
    "__name__",
    "strerror",
    "max",
    "min",
    "abs",
    "shape",
    "tolist",
]
KINDS = {"InputError": "Errors", "FloatingPointError": "Errors of computation", "note": "Notes"}


def found() -> list[tuple[str, str, str]]:
    """(kind, file, message) of every raise and warning, in the order of the files."""
    rows = []
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            texts = {}  # what names in this function stand for, where they are texts
            for node in ast.walk(function):
                if isinstance(node, ast.Assign | ast.AugAssign):
                    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                    if isinstance(target, ast.Name) and isinstance(node.value, ast.JoinedStr):
                        texts.setdefault(target.id, node.value)
            for node in ast.walk(function):
                kind = isinstance(node, ast.Call) and name_of(node.func)
                kind = "note" if kind == "warn" else kind
                if kind not in KINDS or not node.args:
                    continue
                message = node.args[0]
                if isinstance(message, ast.Name):
                    message = texts.get(message.id, message)
                file = path.relative_to(SOURCE).with_suffix("").as_posix()
                rows.append((kind, file, template(message)))
    return sorted(set(rows), key=lambda row: (list(KINDS).index(row[0]), row[1:]))


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def template(node: ast.expr) -> str:
    """A message with its values as {names}."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    if isinstance(node, ast.FormattedValue):
        parts = (n for n in ast.walk(node.value) if isinstance(n, ast.Name | ast.Attribute))
        names = [part.attr if isinstance(part, ast.Attribute) else part.id for part in parts]
        telling = [name for name in names if name not in DUMB]
        return "{" + (telling[0] if telling else "…") + "}"
    if isinstance(node, ast.Call) and name_of(node.func) in ("did_you_mean", "question", "join"):
        return " {suggestion}"
    return "{…}"


def messages() -> list[str]:
    return [message for _, _, message in found()]


def code(message: str) -> str:
    """A message as code, so that no quote and no dash is made prettier than it is."""
    return f"``{' '.join(message.split())}``"


def page() -> str:
    """The page as Markdown."""
    lines, rows = [INTRODUCTION], found()
    for kind, title in KINDS.items():
        lines.append(f"## {title}\n")
        of_kind = (row for row in rows if row[0] == kind)
        for file, group in groupby(of_kind, key=lambda row: row[1]):
            lines.append(f"[{file}.py](../bert4rec/{file}.py)\n")
            lines += [f"- {code(message)}" for _, _, message in group]
            lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (HERE / "errors.md").write_text(page(), encoding="utf-8")
