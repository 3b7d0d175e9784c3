"""Build the book: a static site of the notebooks and documents, with navigation and search.

    python docs/make_book.py            into book/html; open book/html/index.html

Nothing is executed: pages show the committed outputs. The pages lie as in the repository, so links
between them hold. Links to files of the module lead to pages that show their source. Beside the
first page lies live.html (make_live.py), which computes in the browser.

With REPOSITORY=https://github.com/owner/name in the environment, pages have a button that leads to
the repository, and notebooks have links that open them in Binder and Colab.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import itertools
import json
import os
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
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
UNSEARCHED = "---\norphan: true\nno-search: true\n---\n"  # of source: its documentation is found
WORDS_A_MINUTE, LINES_A_MINUTE = 200, 20  # what a reader manages, for the minutes of the first page
# Figures of `plots` with panels that can be read each on its own, and with a heat map: a dark page
# would turn its bright into dark.
PANELS = {
    *("long_tail", "position_similarity", "learning", "additions", "target_ranks"),
    *("cost_over_catalogue", "explanation"),
}
HEAT_MAPS = {"explanation", "attention", "position_similarity"}
SCREENS = {"picker", "live_model"}  # pictures of pages, which stay as they are
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|link(?=[^>]*rel="?(?:stylesheet|preload|icon)))[^>]*?"""
    r"""(?:src|srcset|href)="((?:https?:)?//[^"]+)"""
)
SOURCE = re.compile(r"""(?<=href=")(\.\./bert4rec/[\w/]+)\.py(?=")""")
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")


def main() -> int:
    import make_live  # stands beside this script, which is where Python looks when it is run

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "book", help="default: book/")
    output = parser.parse_args().output
    source = output / "source"
    shutil.rmtree(source, ignore_errors=True)
    gather(source)
    site = output / "html"
    make_live.write(site / "live.html")
    status = sphinx(["-W", "--keep-going", "-q", "-b", "html", str(source), str(site)])
    for path in notebooks():  # to be downloaded as it is in the repository
        shutil.copy(path, site / "_sources" / "notebooks")
    for page, address in (found := fetched(site)):
        print(f"{page}: fetches {address}; a page must be whole without a network")
    return status or int(bool(found))


def fetched(site: Path) -> list[tuple[Path, str]]:
    """What the pages below a folder would fetch from elsewhere: page and address."""
    return [
        (page.relative_to(site), address)
        for page in sorted(site.rglob("*.html"))
        for address in FETCHED.findall(page.read_text(encoding="utf-8"))
    ]


def notebooks() -> list[Path]:
    """The series, in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


@cache
def pages() -> set[Path]:
    """The files that are in the book as they are."""
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return found - {ROOT / "docs" / "errors_introduction.md"}  # it is the head of errors.md


def gather(folder: Path) -> None:
    """Put every page of the book, and what pages link to, into a folder."""
    shutil.copytree(ROOT / "docs" / "book", folder)
    (folder / "_static" / "figures").mkdir()
    for path in sorted(pages()):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            book = json.loads(path.read_text(encoding="utf-8"))
            show_figures(book["cells"], path.stem, folder)
            for cell in book["cells"]:
                if cell["cell_type"] == "markdown":
                    text = linked("".join(cell["source"]), path, folder)
                    cell["source"] = text.splitlines(keepends=True)
                for shown in (output.get("data", {}) for output in cell.get("outputs", ())):
                    if "text/html" in shown:  # a page of source is called .html there
                        shown["text/html"] = SOURCE.sub(r"\1.html", "".join(shown["text/html"]))
            place.write_text(json.dumps(book), encoding="utf-8")
        elif path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            text = show_curves(text, path.parent, folder / "_static" / "figures")
            text = linked(text, path, folder)
            # the series and its look-ups are in the navigation; what lies below them is not
            alone = place.parent.name == "api" and place.name != "README.md"
            place.write_text((ALONE if alone else "") + text, encoding="utf-8")
        else:
            shutil.copy(path, place)
    for path in sorted((ROOT / "bert4rec").rglob("*.py")):
        place = folder / path.relative_to(ROOT)
        place.parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(path, place)
        text = f"{UNSEARCHED}# {path.name}\n\n"
        up = "../" * len(path.relative_to(ROOT).parent.parts)
        api = ROOT / "docs" / "api" / f"{path.parent.name}.md"
        text += f"[Documentation]({up}docs/api/{api.name})\n\n" if api.exists() else ""
        text += f"```{{literalinclude}} {path.name}\n:language: python\n:linenos:\n```\n"
        place.with_suffix(".md").write_text(text, encoding="utf-8")
    index = folder / "index.md"
    index.write_text(
        index.read_text(encoding="utf-8").replace("% the series", series()), encoding="utf-8"
    )


def series() -> str:
    """The notebooks as a list: title, question, and about how many minutes it takes to read."""
    entries = []
    for path in notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first = "".join(cells[0]["source"])
        title = re.search(r"^# (.+)$", first, re.M)[1]
        question = re.search(r"^\*\*(.+)\*\*$", first, re.M)[1]
        entries.append(
            f"- [{title}](notebooks/{path.name})\n\n  {question}\n\n"
            f"  *about {minutes(cells)} minutes to read*\n"
        )
    text = "```{container} series\n" + "\n".join(entries) + "```\n"
    if repository := os.environ.get("REPOSITORY"):
        text += (
            "\nThe rocket at the top of a notebook opens it in Binder or Colab. In Colab, run "
            f"`%pip install git+{repository}` first.\n"
        )
    return text


def minutes(cells: list[dict]) -> int:
    """About how long the cells of a notebook take to read, to the nearest five minutes."""
    texts = {"markdown": "", "code": "", "raw": ""}
    for cell in cells:
        texts[cell["cell_type"]] += "".join(cell["source"]) + "\n"
    lines = [line for line in texts["code"].splitlines() if line.strip()]
    taken = len(texts["markdown"].split()) / WORDS_A_MINUTE + len(lines) / LINES_A_MINUTE
    return max(5, 5 * round(taken / 5))


def show_figures(cells: list[dict], name: str, folder: Path) -> None:
    """Put the figures of a notebook into files, and what a page shows of them into their cells.

    The words under a figure become its alt text: a notebook itself has no place for it.

    Args:
        cells: of the notebook, changed in place.
        name: of the notebook, which the files begin with.
        folder: of the book's source.
    """
    place = folder / "_static" / "figures"
    for number, (cell, after) in enumerate(itertools.pairwise(cells)):
        for output in cell.get("outputs", []):
            if "image/png" not in output.get("data", {}) or "text/html" in output["data"]:
                continue  # no picture, or one for where no page can be shown
            caption = re.match(r"\*(?!\*)(.+?)\*(?:\n|$|\s)", "".join(after["source"]), re.S)
            words = " ".join(caption[1].split()) if caption else ""
            drawn = set(re.findall(r"(?:plots\.|^)(\w+)\(", "".join(cell["source"]), re.M))
            png = base64.b64decode(output["data"]["image/png"])
            shown = output.get("metadata", {}).get("image/png", {}).get("width")
            file = place / f"{name[:2]}-{number}.png"
            output["data"] = {
                "text/html": figure(png, file, re.sub(r"[`*$\[\]]", "", words), drawn, shown)
            }


def show_curves(text: str, folder: Path, place: Path) -> str:
    """The text of a page of results with its pictures of trainings shown as those of notebooks.

    Args:
        text: Markdown.
        folder: of the page in the repository.
        place: where the pictures are written.
    """

    def shown(match: re.Match) -> str:
        return figure((folder / match[2]).read_bytes(), place / match[2], match[1], {"learning"})

    return re.sub(r"!\[([^\]]+)\]\(([\w-]+-curve\.png)\)", shown, text)


def figure(png: bytes, file: Path, alt: str, drawn: set[str], shown: int | None = None) -> str:
    """Write a figure, and below each other its panels for a narrow screen; what a page shows of it.

    Args:
        png: the figure.
        file: where it is written, in _static/figures/.
        alt: what it shows, in words.
        drawn: by which functions of `plots`.
        shown: width in CSS pixels; default: that of the picture.
    """
    file.write_bytes(png)
    width, height = Image.open(io.BytesIO(png)).size
    shown = shown or width
    classes, narrow = ["plot"], ""
    if drawn & HEAT_MAPS:
        classes.append("heat-map")
    if drawn & SCREENS:
        classes.append("screen")
    if drawn & PANELS:
        classes.append("panels")
        stack = stacked(png)
        below = file.with_stem(f"{file.stem}-stacked")
        stack.save(below)
        narrow = (
            f'<source media="(max-width: 40rem)" srcset="../_static/figures/{below.name}" '
            f'width="{stack.width * shown // width}" height="{stack.height * shown // width}">'
        )
    return (
        f'<div class="{" ".join(classes)}" style="--width: {shown}px"><picture>{narrow}'
        f'<img class="dark-light" loading="lazy" src="../_static/figures/{file.name}" '
        f'width="{shown}" height="{height * shown // width}" alt="{html.escape(alt)}">'
        "</picture></div>"
    )


def stacked(png: bytes) -> Image.Image:
    """The two panels of a figure below each other, cut in the widest gap in its middle.

    Raises:
        ValueError: there is no gap.
    """
    image = Image.open(io.BytesIO(png)).convert("RGB")
    pixels = np.asarray(image)
    middle = slice(image.width // 4, 3 * image.width // 4)
    empty = (pixels[:, middle] == pixels[0, 0]).all(axis=(0, 2))
    gaps = [
        list(run) for blank, run in itertools.groupby(range(len(empty)), empty.__getitem__) if blank
    ]
    widest = max(gaps, key=len, default=[])
    if len(widest) < 4:
        raise ValueError("the figure has no gap between two panels")
    cut = middle.start + widest[len(widest) // 2]
    left = image.crop((0, 0, cut, image.height))
    right = image.crop((cut, 0, image.width, image.height))
    between = image.height // 12
    both = Image.new("RGB", (max(left.width, right.width), 2 * image.height + between), "white")
    both.paste(left, (0, 0))
    both.paste(right, (0, image.height + between))
    return both


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


if __name__ == "__main__":
    raise SystemExit(main())
