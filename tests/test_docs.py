"""Documents that are made from the source are up to date, and links lead somewhere."""

import re

import pytest
from helpers import ROOT, docs_script

PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if path.relative_to(ROOT).parts[0] not in ("book", "runs")
    and not any(part.startswith(".venv") for part in path.relative_to(ROOT).parts)
)


def anchors(path) -> set[str]:
    """The fragments that a code host gives the headings of a page."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    return {docs_script("make_api").anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.M)}


def test_the_docs_of_the_module_are_those_of_its_docstrings():
    wanted = docs_script("make_api").pages()
    there = {path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "api").glob("*.md")}
    assert there == wanted, "run python docs/make_api.py"


def test_every_public_name_has_its_entry():
    import bert4rec

    text = "".join(path.read_text("utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    for name in bert4rec.__all__:
        if callable(getattr(bert4rec, name)):
            assert f"\n### {name}\n" in text, name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_resolve(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    folder = path.parent
    if folder == ROOT / "docs" / "book":
        return  # `make book` puts it elsewhere, and checks it there
    for target, fragment in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]*)?\)", text):
        place = folder / target if target else path
        assert place.exists(), target
        if fragment and place.suffix == ".md":
            assert fragment[1:] in anchors(place), f"{target}{fragment}"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_link_to_entries_that_are_there(path):
    found = re.findall(r"\]\(\.\./(docs/api/\w+\.md)#([\w-]+)\)", path.read_text(encoding="utf-8"))
    for page, fragment in found:
        assert fragment in anchors(ROOT / page), f"{page}#{fragment}"


def test_a_link_of_the_book_leads_to_its_page_and_a_broken_one_is_named(tmp_path):
    pytest.importorskip("sphinx")
    book = docs_script("make_book")
    page = ROOT / "notebooks" / "02_cloze_masking.ipynb"
    text = (
        "[source](../bert4rec/cloze/masks.py) [`hide`](../docs/api/cloze.md#hide) [r](../results/)"
    )
    assert book.linked(text, page, tmp_path) == (
        "[source](../bert4rec/cloze/masks.md) [`hide`](../docs/api/cloze.md#hide) "
        "[r](../results/README.md)"
    )
    assert book.linked("[r](../results/ml-1m.json)", page, tmp_path).endswith("ml-1m.json)")
    assert (tmp_path / "results" / "ml-1m.json").exists()  # to be downloaded
    with pytest.raises(FileNotFoundError, match=r"02_cloze_masking\.ipynb links to nowhere\.md"):
        book.linked("[there](nowhere.md)", page, tmp_path)


def test_a_page_that_fetches_from_elsewhere_is_named(tmp_path):
    pytest.importorskip("sphinx")
    book = docs_script("make_book")
    (tmp_path / "whole.html").write_text(
        '<link rel="stylesheet" href="_static/a.css"><a href="https://example.org">there</a>'
        '<link rel="canonical" href="https://example.org/"><img alt="" src="a.png">'
    )
    (tmp_path / "not.html").write_text(
        '<script async src="https://example.org/a.js"></script><img alt="" src="//example.org/b">'
        '<link rel="stylesheet" type="text/css" href="https://example.org/c.css">'
    )
    found = [(str(page), address[-4:]) for page, address in book.fetched(tmp_path)]
    assert found == [("not.html", "a.js"), ("not.html", "rg/b"), ("not.html", ".css")]
