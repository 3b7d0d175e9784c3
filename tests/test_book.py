"""The book: its figures, its first page, its search, its links; a small one is built and looked at.

What is looked at in a browser needs Playwright and a Chromium; the search needs Node.
"""

import base64
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT, docs_script

from bert4rec.notebook import plots

pytest.importorskip("sphinx")
pytest.importorskip("latex2mathml")
from PIL import Image

BOOK = ROOT / "docs" / "book"
REPOSITORY = "https://github.com/somebody/bert4rec"
NODE = shutil.which("node")


def png(*columns: tuple[int, str]) -> bytes:
    """A picture of columns of a width and a colour."""
    image = Image.new("RGB", (sum(width for width, _ in columns), 24), "white")
    left = 0
    for width, colour in columns:
        image.paste(colour, (left, 0, left + width, 24))
        left += width
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def cell(source: str, picture: bytes | None = None, **metadata) -> dict:
    """A cell of a notebook: Markdown, or code that showed a picture."""
    if picture is None:
        return {"cell_type": "markdown", "metadata": {}, "source": [source]}
    data = {"image/png": base64.b64encode(picture).decode()}
    shown = {"output_type": "display_data", "data": data, "metadata": metadata}
    code = {"cell_type": "code", "metadata": {}, "source": [source]}
    return code | {"execution_count": 1, "outputs": [shown]}


TWO = png((40, "white"), (200, "navy"), (60, "white"), (240, "orange"), (20, "white"))
CELLS = [
    cell("# A page\n\n**What does it ask?**"),
    cell("plots.learning(history)\nplt.show()", TWO),
    cell('*Left, one thing. Right, `another` one, and it is quoted: "so".*'),
    cell("plots.attention(weights)\nplt.show()", png((900, "navy"))),
    cell("*Everything is dark.*"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A small book with a repository: a first page, a notebook, and a page of source."""
    from sphinx.cmd.build import main as sphinx

    folder = tmp_path_factory.mktemp("book")
    shutil.copytree(BOOK, folder / "source")
    (folder / "source" / "_static" / "figures").mkdir()
    index = "# First\n\n```{toctree}\nnotebooks/00_page\n```\n"
    (folder / "source" / "index.md").write_text(index, encoding="utf-8")
    book = docs_script("make_book")
    source = f"{book.UNSEARCHED}# source.py\n\nzanzibar\n"
    (folder / "source" / "source.md").write_text(source, encoding="utf-8")
    cells = json.loads(json.dumps(CELLS))
    book.show_figures(cells, "00_page", folder / "source")
    page = folder / "source" / "notebooks" / "00_page.ipynb"
    page.parent.mkdir()
    names = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    whole = {"cells": cells, "metadata": names, "nbformat": 4, "nbformat_minor": 4}
    page.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPOSITORY", REPOSITORY)
        arguments = ["-W", "-q", "-b", "html", str(folder / "source"), str(folder / "html")]
        assert sphinx(arguments) == 0
    return folder / "html"


def test_a_repository_gives_links_and_without_one_there_are_none(site, monkeypatch):
    text = (site / "notebooks" / "00_page.html").read_text(encoding="utf-8")
    links = re.findall(r'href="(https?://[^"]+)"', text)
    assert REPOSITORY in links
    file = "notebooks/00_page.ipynb"
    assert f"https://mybinder.org/v2/gh/somebody/bert4rec/main?urlpath=lab/tree/{file}" in links
    hub = "https://colab.research.google.com/github/somebody/bert4rec/blob/main"
    assert f"{hub}/{file}" in links
    assert REPOSITORY in (site / "index.html").read_text(encoding="utf-8")
    for address in (None, ""):
        if address is None:
            monkeypatch.delenv("REPOSITORY", raising=False)
        else:
            monkeypatch.setenv("REPOSITORY", address)
        options = runpy.run_path(str(BOOK / "conf.py"))["html_theme_options"]
        assert not {"repository_url", "use_repository_button", "launch_buttons"} & set(options)


def test_a_book_with_links_fetches_nothing_from_elsewhere(site, chromium):
    assert docs_script("make_book").fetched(site) == []
    page = chromium.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    for name in ("index.html", "notebooks/00_page.html", "search.html?q=page"):
        page.goto(f"{site.as_uri()}/{name}")
    page.close()
    assert len(requests) > 10
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def test_the_book_and_the_page_in_its_frame_tell_each_other_theme_and_height(site, chromium):
    index = site / "index.html"
    frame = '<iframe class="live" srcdoc="<script>addEventListener(`message`, (event) => {'
    frame += " document.title = event.data.theme;"
    frame += ' parent.postMessage({height: 2345.5}, `*`); });</script>"></iframe>'
    framed = site / "framed.html"
    text = index.read_text(encoding="utf-8")
    framed.write_text(text.replace("</main>", f"{frame}</main>", 1), encoding="utf-8")
    page = chromium.new_page()
    page.goto(framed.as_uri())
    height = "document.querySelector('iframe.live').style.height"
    for theme in ("dark", "light"):
        page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        inside = "document.querySelector('iframe.live').contentDocument.title"
        page.wait_for_function(f"theme => {inside} === theme", arg=theme)
    page.wait_for_function(f"{height} === '2348px'")
    page.evaluate("postMessage({ height: 99 }, '*')")  # of another window
    page.wait_for_timeout(100)
    assert page.evaluate(height) == "2348px"
    page.close()
    framed.unlink()


def test_source_is_not_searched(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert "zanzibar" not in index
    assert "source.py" not in index
    assert "quot" in index  # the words of a page are


@pytest.mark.skipif(NODE is None, reason="there is no node on the path")
def test_the_search_lists_each_page_once_at_the_heading_that_matches(tmp_path):
    hits = [  # page, title, anchor; the best stand last
        *(["a", "A > Third", "#third"], ["b", "B", ""], ["a", "A > First", "#first"]),
        *(["a", "A", ""], ["c", "C", ""]),
    ]
    script = f"const Search = {{ _performSearch: () => {json.dumps(hits)} }};\n"
    script += (BOOK / "search.js").read_text(encoding="utf-8")
    script += "console.log(JSON.stringify(Search._performSearch('a')));\n"
    file = tmp_path / "search.cjs"
    file.write_text(script, encoding="utf-8")
    done = subprocess.run([NODE, file], capture_output=True, text=True, check=True)
    found = [page + anchor for page, _, anchor in json.loads(done.stdout)]
    assert found == ["b", "a#first", "c"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_fit_a_phone_and_a_dark_page(site, chromium, theme):
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    context.add_init_script(f"localStorage.mode = localStorage.theme = '{theme}'")
    page = context.new_page()
    page.goto(f"{site.as_uri()}/notebooks/00_page.html")
    looks = """(image) => {
        image.loading = "eager";
        return image.decode().then(() => ({
            file: image.currentSrc.split("/").pop(),
            width: image.getBoundingClientRect().width,
            filter: getComputedStyle(image).filter,
        }));
    }"""
    panels = page.locator(".panels img").evaluate(looks)
    heat = page.locator(".heat-map img").evaluate(looks)
    sideways = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1440, "height": 800})
    wide = page.locator(".panels img").evaluate(looks)
    context.close()
    assert panels["file"] == "00-1-stacked.png"
    assert panels["width"] <= 390
    assert heat["width"] > 600  # readable: it is moved sideways in its box
    assert sideways == 390
    assert wide["file"] == "00-1.png"
    assert ("invert" in panels["filter"]) == (theme == "dark")
    assert "invert" not in heat["filter"]  # bright stays bright


def test_panels_stand_below_each_other_cut_in_the_gap():
    stack = np.asarray(docs_script("make_book").stacked(TWO))
    assert stack.shape == (50, 290, 3)  # two heights and a little between
    above, below = stack[:24], stack[-24:]
    navy, orange = (0, 0, 128), (255, 165, 0)
    assert ((above == navy).all(-1).sum(), (above == orange).all(-1).sum()) == (200 * 24, 0)
    assert ((below == navy).all(-1).sum(), (below == orange).all(-1).sum()) == (0, 240 * 24)
    with pytest.raises(ValueError, match="no gap"):
        docs_script("make_book").stacked(
            png((9, "white"), (300, "navy"), (2, "white"), (300, "navy"))
        )


def test_a_link_to_source_in_an_output_leads_to_its_page(tmp_path):
    book = docs_script("make_book")
    book.gather(tmp_path / "source")
    page = json.loads((tmp_path / "source/notebooks/03_build_bert.ipynb").read_text("utf-8"))
    outputs = (o.get("data", {}) for cell in page["cells"] for o in cell.get("outputs", ()))
    shown = "".join("".join(data.get("text/html", "")) for data in outputs)
    links = re.findall(r'href="(\.\./bert4rec/[^"]+)"', shown)
    assert len(links) == 21
    for link in links:
        assert (tmp_path / "source/notebooks" / link).with_suffix(".md").exists()


def test_a_figure_of_twice_the_pixels_keeps_its_size(tmp_path):
    shown = docs_script("make_book").figure(TWO, tmp_path / "a.png", "words", {"learning"}, 280)
    assert 'src="../_static/figures/a.png" width="280" height="12"' in shown
    assert 'a-stacked.png" width="145" height="25"' in shown
    assert (tmp_path / "a.png").read_bytes() == TWO


def test_every_figure_of_the_series_has_words_and_its_panels_a_gap(tmp_path):
    book = docs_script("make_book")
    (tmp_path / "_static" / "figures").mkdir(parents=True)
    drawn = set()
    for path in book.notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        book.show_figures(cells, path.stem, tmp_path)
        for one in cells:
            source = "".join(one["source"])
            if one["cell_type"] != "code" or "plt.show()" not in source:
                continue
            drawn |= set(re.findall(r"plots\.(\w+)", source))
            shown = "".join(
                output.get("data", {}).get("text/html", "") for output in one["outputs"]
            )
            alt = re.search(r' alt="([^"]*)"', shown)[1]
            assert len(alt) > 40, (path.name, one["id"])
            assert not set(alt) & set("*`")
    named = book.PANELS | book.HEAT_MAPS
    assert named <= drawn & set(dir(plots))
    cut = {path.name for path in (tmp_path / "_static" / "figures").glob("*-stacked.png")}
    assert len(cut) >= len(book.PANELS)


def test_the_first_page_has_each_notebook_with_its_question_and_minutes(monkeypatch):
    monkeypatch.delenv("REPOSITORY", raising=False)
    book = docs_script("make_book")
    text = book.series()
    entries = re.findall(
        r"^- \[\d+ · .+\]\(notebooks/(.+\.ipynb)\)\n\n  (.+\?)\n\n  \*about (\d+) minutes",
        text,
        re.M,
    )
    assert [name for name, _, _ in entries] == [path.name for path in book.notebooks()]
    assert all(5 <= int(minutes) <= 60 for _, _, minutes in entries)
    assert "% the series" in (BOOK / "index.md").read_text(encoding="utf-8")
    assert "Colab" not in text
    monkeypatch.setenv("REPOSITORY", REPOSITORY)
    assert f"%pip install git+{REPOSITORY}" in book.series()


def test_minutes_are_of_words_and_of_lines_of_code():
    book = docs_script("make_book")
    words = cell("word " * 2000)
    code = {"cell_type": "code", "source": ["a = 1\n", "\n"] * 100}
    assert book.minutes([words]) == 10
    assert book.minutes([words, code]) == 15
    assert book.minutes([cell("few")]) == 5


def test_a_notebook_draws_figures_in_twice_the_pixels():
    script = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import bert4rec.notebook.style as style
import matplotlib.pyplot as plt
figure, _ = style.new_figure(size=(4, 2))
figure.set_layout_engine("none")
data, about = shell.display_formatter.format(figure, include={"image/png"})
from PIL import Image
import base64, io
picture = io.BytesIO(base64.b64decode(data["image/png"]))
print(Image.open(picture).width, about["image/png"]["width"])
"""
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    pixels, width = map(int, done.stdout.split())
    assert pixels // 2 == width
