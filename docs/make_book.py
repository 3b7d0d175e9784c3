"""Build the book: a static site of the notebooks and documents, with navigation and search.

    python docs/make_book.py            into book/html; open book/html/index.html

Nothing is executed: pages show the committed outputs. The pages lie as in the repository, so links
between them hold. Links to files of the module lead to pages that show their source. Beside the
first page lies live.html (make_live.py), which computes in the browser.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import re
import shutil
from functools import cache
from pathlib import Path

from sphinx.cmd.build import main as sphinx

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "notebooks/*.ipynb",
    "notebooks/images/*.png",
    "docs/*.md",
    "docs/api/*.md",
    "results/*.md",
    "results/*.png",
    "benchmarks/README.md",
    "data/README.md",
    "CHANGELOG.md",
    "LICENSE",
)
ALONE = "---\norphan: true\n---\n"  # heads a page that is not in the navigation
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|link(?=[^>]*rel="?(?:stylesheet|preload|icon)))[^>]*?"""
    r"""(?:src|href)="((?:https?:)?//[^"]+)"""
)
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")


def main() -> int:
    import make_live  # stands beside this script, which is where Python looks when it is run

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "book", help="default: book/")
    output = parser.parse_args().output
    source = output / "source"
    shutil.rmtree(source, ignore_errors=True)
    gather(source)
    html = output / "html"
    make_live.write(html / "live.html")
    status = sphinx(["-W", "--keep-going", "-q", "-b", "html", str(source), str(html)])
    for page, address in (found := fetched(html)):
        print(f"{page}: fetches {address}; a page must be whole without a network")
    return status or int(bool(found))


def fetched(html: Path) -> list[tuple[Path, str]]:
    """What the pages below a folder would fetch from elsewhere: page and address."""
    return [
        (page.relative_to(html), address)
        for page in sorted(html.rglob("*.html"))
        for address in FETCHED.findall(page.read_text(encoding="utf-8"))
    ]


@cache
def pages() -> set[Path]:
    """The files that are in the book as they are."""
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return found - {ROOT / "docs" / "errors_introduction.md"}  # it is the head of errors.md


def gather(folder: Path) -> None:
    """Put every page of the book, and what pages link to, into a folder."""
    shutil.copytree(ROOT / "docs" / "book", folder)
    for path in sorted(pages()):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            book = json.loads(path.read_text(encoding="utf-8"))
            describe_figures(book["cells"])
            for cell in book["cells"]:
                if cell["cell_type"] == "markdown":
                    text = linked("".join(cell["source"]), path, folder)
                    cell["source"] = text.splitlines(keepends=True)
            place.write_text(json.dumps(book), encoding="utf-8")
        elif path.suffix == ".md":
            text = linked(path.read_text(encoding="utf-8"), path, folder)
            # the series and its look-ups are in the navigation; what lies below them is not
            alone = place.parent.name == "api" and place.name != "README.md"
            place.write_text((ALONE if alone else "") + text, encoding="utf-8")
        else:
            shutil.copy(path, place)
    for path in sorted((ROOT / "bert4rec").rglob("*.py")):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(path, place)
        text = f"{ALONE}# {path.name}\n\n"
        up = "../" * len(path.relative_to(ROOT).parent.parts)
        api = ROOT / "docs" / "api" / f"{path.parent.name}.md"
        text += f"[Documentation]({up}docs/api/{api.name})\n\n" if api.exists() else ""
        text += f"```{{literalinclude}} {path.name}\n:language: python\n:linenos:\n```\n"
        place.with_suffix(".md").write_text(text, encoding="utf-8")
    (folder / "masking.png").write_bytes(picture("02_cloze_masking"))


def describe_figures(cells: list[dict]) -> None:
    """Give each figure the words under it as its alt text: a notebook itself has no place for it.

    Args:
        cells: of a notebook; the cells with a figure get metadata that MyST-NB reads.
    """
    for cell, after in itertools.pairwise(cells):
        caption = re.match(r"\*(?!\*)(.+?)\*(?:\n|$|\s)", "".join(after["source"]), re.S)
        if "plt.show()" in "".join(cell["source"]) and caption:
            words = " ".join(caption[1].split())
            cell["metadata"]["mystnb"] = {"image": {"alt": re.sub(r"[`*$\[\]]", "", words)}}


def linked(text: str, path: Path, folder: Path) -> str:
    """The text of a page whose links lead to pages of the book.

    A file that is no page is copied, to be downloaded.

    Raises:
        FileNotFoundError: there is nothing where a link leads.
    """

    def replaced(match: re.Match) -> str:
        target = (path.parent / match[1]).resolve()
        if target.is_dir():
            target = target / "README.md"
        if not target.exists():
            raise FileNotFoundError(f"{path.relative_to(ROOT)} links to {match[1]}")
        inside = target.relative_to(ROOT)
        up = "../" * len(path.relative_to(ROOT).parent.parts)
        if inside.parts[0] == "bert4rec" and inside.suffix == ".py":
            inside = inside.with_suffix(".md")
        elif target not in pages():
            place = folder / inside
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(target, place)
        return f"]({up}{inside.as_posix()}{match[2] or ''})"

    return LINK.sub(replaced, text)


def picture(name: str) -> bytes:
    """The first picture that a notebook shows."""
    book = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in book["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                return base64.b64decode(output["data"]["image/png"])
    raise ValueError(f"notebook {name} shows no picture")


if __name__ == "__main__":
    raise SystemExit(main())
