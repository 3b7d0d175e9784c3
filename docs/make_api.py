"""Write docs/api/, a page per room of the module, from its docstrings.

    python docs/make_api.py

The tests compare the pages with what this would write, so run it after changing a docstring.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "api"
INTRODUCTION = """# The module, room by room

Made from the docstrings by `python docs/make_api.py`. Shapes are written as in `(batch, length)`.
Names that `import bert4rec` offers are **bold**.
"""


def pages() -> dict[str, str]:
    """The text of every page by its file name."""
    package = griffe.load("bert4rec", search_paths=[ROOT], docstring_parser="google")
    public = set(package.exports or ())
    house = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    files = re.findall(r"^ +([\w/]+)\.py +(\S.*)$", house, re.M)
    found, index = {}, [INTRODUCTION]
    for path, purpose in files:
        room = path.split("/")[0] if "/" in path else "bert4rec"
        if f"{room}.md" not in found:
            found[f"{room}.md"] = f"# {room}/\n\n" + text(package[room] if "/" in path else package)
            found[f"{room}.md"] += "\n"
            index.append(f"\n**[{room}/]({room}.md)**\n")
        module = package[path.replace("/", ".")]
        members = [m for m in module.members.values() if documented(m)]
        members.sort(key=lambda member: member.lineno)
        found[f"{room}.md"] += "\n" + section(path, module, members)
        links = {m.name: f"[{m.name}]({room}.md#{anchor(m.name)})" for m in members}
        names = ", ".join(f"**{link}**" if m in public else link for m, link in links.items())
        place = f"{room}.md#{anchor(module.name + '.py')}"
        index.append(f"- [{module.name}.py]({place}): {purpose}" + (f" ({names})" if names else ""))
    found["README.md"] = index[0] + "\n".join(index[1:]) + "\n"
    return found


def documented(member: griffe.Object | griffe.Alias) -> bool:
    """Whether something is defined here, public, and has a docstring."""
    private = member.is_alias or member.name.startswith("_")
    return not private and (member.is_class or member.is_function) and member.has_docstring


def section(path: str, module: griffe.Module, members: list) -> str:
    """What a page says of a file: its docstring, then each class and function in order."""
    parts = [f"## {module.name}.py", f"[Source](../../bert4rec/{path}.py)", text(module)]
    for member in members:
        parts += [f"### {member.name}", signature(member), text(member)]
        if member.is_class:
            fields = [m for m in member.members.values() if m.is_attribute and m.docstring]
            rows = [
                f"- `{m.name}`: {joined(m.docstring.value)}" for m in fields if not is_property(m)
            ]
            parts += ["**Fields**\n\n" + "\n".join(rows)] if rows else []
            methods = [m for m in member.members.values() if documented(m) or is_property(m)]
            for method in sorted(methods, key=lambda m: m.lineno):
                title = f"#### {member.name}.{method.name}"
                parts += [title, "" if is_property(method) else signature(method), text(method)]
    return "\n\n".join(part for part in parts if part) + "\n"


def is_property(member: griffe.Object | griffe.Alias) -> bool:
    public = not member.is_alias and not member.name.startswith("_")
    return public and "property" in member.labels and member.has_docstring


def signature(member: griffe.Class | griffe.Function) -> str:
    """How it is called, in a block of code."""
    arguments = [argument(p) for p in member.parameters if p.name not in ("self", "cls")]
    if member.is_class and not arguments:
        return ""
    returns = getattr(member, "returns", None)
    end = f" -> {returns}" if returns is not None and member.is_function else ""
    line = f"{member.name}({', '.join(arguments)}){end}"
    if len(line) > 88:
        line = f"{member.name}(\n" + "".join(f"    {a},\n" for a in arguments) + f"){end}"
    return f"```python\n{line}\n```"


def argument(parameter: griffe.Parameter) -> str:
    stars = {"variadic positional": "*", "variadic keyword": "**"}
    star = stars.get(parameter.kind.value if parameter.kind else "", "")
    kind = f": {parameter.annotation}" if parameter.annotation is not None else ""
    default = parameter.default if not star and parameter.default is not None else None
    if default is None:
        return f"{star}{parameter.name}{kind}"
    return f"{parameter.name}{kind} = {default}" if kind else f"{parameter.name}={default}"


def text(member: griffe.Object) -> str:
    """A docstring as Markdown: paragraphs as they are, sections as lists."""
    if member.docstring is None:
        return ""
    parts = []
    for part in member.docstring.parse("google", warnings=False):
        kind, value = part.kind.value, part.value
        if kind == "text":
            parts.append(markdown(value))
        elif kind in ("returns", "yields"):
            described = " ".join(inspect.cleandoc(item.description) for item in value)
            parts.append(f"**{kind.capitalize()}** {joined(described)}")
        else:
            title = {"parameters": "Arguments", "attributes": "Attributes"}.get(
                kind, kind.capitalize()
            )
            rows = [f"- `{name_of(item, member)}`: {joined(item.description)}" for item in value]
            parts.append(f"**{title}**\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def name_of(item: object, member: griffe.Object) -> str:
    name = getattr(item, "name", None) or str(getattr(item, "annotation", ""))
    if name.endswith(","):  # one line for several attributes
        return re.search(rf"^ *({name}[\w, ]*):", member.docstring.value, re.M)[1]
    return name


def joined(description: str) -> str:
    return " ".join(description.split())


def markdown(value: str) -> str:
    """Indented blocks become code, other text stays."""
    blocks = re.split(r"\n\n", value)
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(block)}\n```"
        if all(line.startswith("    ") for line in block.splitlines())
        else block
        for block in blocks
    )


def anchor(title: str) -> str:
    """The fragment that code hosts and the book give a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
