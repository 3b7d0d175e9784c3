"""What notebooks 0 and 3 show of the models: the live page in a frame, the walk through the stack.

What is clicked and seen needs Playwright and a Chromium (Debian: apt install chromium). Screenshots
are kept in runs/browser/.
"""

import base64
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT, SHOTS, docs_script, tiny_model, watched

from bert4rec import Recommender, Vocabulary
from bert4rec.evaluation import Blend
from bert4rec.notebook import live_model as live
from bert4rec.notebook.walk import walk

TOY = live.EXAMPLES["Toy user"]
AROUND = {
    "plain": "<html><body>",
    "book, dark": '<html data-theme="dark" data-content_root="../"><body>',
    "JupyterLab, dark": '<html><body data-jp-theme-light="false">',
}


@pytest.fixture(scope="module")
def shipped():
    return Recommender.load("ml-1m")


@pytest.fixture(scope="module")
def stack(shipped):
    return walk(shipped, TOY)


@pytest.fixture(scope="module")
def html(stack):
    return stack._repr_html_()


@pytest.fixture
def show(chromium, tmp_path):
    """Opens outputs on one page; at the end nothing may have failed in it, nor been fetched."""
    failures, requests, opened = [], [], []

    def opening(*outputs, around="plain", width=1000, **options):
        file = tmp_path / f"{len(opened)}.html"
        text = "<p>between</p>".join(output._repr_html_() for output in outputs)
        meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        file.write_text(f"<!doctype html>{meta}{AROUND[around]}{text}</body>", encoding="utf-8")
        page = watched(chromium, file, failures, requests, width, **options)
        opened.append(page)
        return page

    yield opening
    addresses = [page.url.partition("#")[0] for page in opened]
    for page in opened:
        page.close()
    assert failures == []
    assert [address for address in requests if address != "about:srcdoc"] == addresses


def told(html: str) -> dict:
    """What a walk's page knows, its numbers read."""
    found, _ = json.JSONDecoder().raw_decode(html[html.rindex(',{"names":') + 1 :])
    for step in found["steps"]:
        whole = np.frombuffer(base64.b64decode(step["numbers"]), "<i2")
        step["numbers"] = whole * step["worth"]
    return found


# ------------------------------------------------------------------ the walk


def test_its_numbers_are_those_of_a_forward_pass(shipped, stack, html):
    model = shipped.model
    tokens = model.question(torch.as_tensor(shipped.tokens(TOY))[None].long())
    visible = torch.ones(1, 1, 1, 6, dtype=torch.bool)
    bert, attention = model.model, model.attention(tokens)
    wanted = [
        bert.embedding.token_embeddings(tokens),
        bert.embedding.position_embeddings.weight[:6].flip(0),
    ]
    x = bert.embedding(tokens)
    wanted.append(x)
    for number, encoder in enumerate(bert.transformer_encoders):
        normed = encoder.input_sublayer.layer_norm(x)
        gathered = encoder.attention(normed, visible)
        x = x + gathered
        again = encoder.output_sublayer.layer_norm(x)
        wider = torch.nn.functional.gelu(encoder.feed_forward.feed_forward_1(again))
        narrow = encoder.feed_forward(again)
        wanted += [normed, attention[number], gathered, x, again, wider, narrow, x + narrow]
        x = x + narrow
    x = bert.layer_norm(x)
    wanted.append(x)
    found = told(html)
    assert [step["size"] for step in found["steps"][:-1]] == [step.shape[-1] for step in wanted]
    for step, numbers in zip(found["steps"], wanted, strict=False):
        numbers = numbers.detach().numpy().ravel()
        largest = np.abs(numbers).max()
        np.testing.assert_allclose(step["numbers"], numbers, atol=2e-5 * largest + 1e-6)
    scores = model.score(tokens[:, :-1])[0, 1:-1]
    torch.testing.assert_close(stack.steps[-1].numbers[0, 1:-1], scores)
    alone = Recommender.load("ml-1m", blend=False).recommend(TOY, k=5)
    assert [film["title"] for film in found["films"]] == alone["title"].tolist()
    np.testing.assert_allclose([f["score"] for f in found["films"]], alone["score"], atol=0.006)
    first = shipped.vocabulary.tokens(alone["item"])[0]
    share = scores.softmax(dim=0)[first - 1].item()
    assert found["films"][0]["share"] == pytest.approx(share, abs=1e-4)
    assert len(html) < 60_000


def test_models_of_other_shapes_walk_too():
    titles = ["<b>One</b></script> (1990)", "Two, The (1991)", "Three", "Four", "Five"]
    items = pd.DataFrame({"item": range(5), "title": titles})
    for changes in ({}, {"causal": True, "norm_first": True}, {"num_layers": 1}):
        model = tiny_model(5, **changes).train()
        stack = walk(Recommender(model, Vocabulary(list(range(5))), items), [0, 1], k=2)
        causal = model.config.causal
        assert stack.names == ["<b>One</b></script>", "Two"] + ["[MASK]"] * (not causal)
        layers, first = model.config.num_layers, model.config.norm_first
        assert len(stack.steps) == 4 + layers * (8 if first else 6) + first
        torch.testing.assert_close(
            stack.steps[-1].numbers[0, 1:-1], model.score(torch.tensor([[1, 2]]))[0, 1:-1]
        )
        assert stack._repr_html_().count("</script>") == 1
        assert {film["title"] for film in stack.films} <= set(titles[2:])


def test_a_history_may_be_long_or_empty_and_hold_every_film():
    recommender = Recommender(tiny_model(5), Vocabulary(list(range(5))))
    stack = walk(recommender, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    assert len(stack.names) == recommender.model.config.max_len == 8
    assert stack.films == []
    assert "nothing is left" in stack._repr_html_()
    alone = walk(recommender, [], k=9)
    assert (alone.names, len(alone.films)) == (["[MASK]"], 5)


def test_without_scripts_it_is_a_table_whose_links_lead_somewhere(stack, show):
    page = show(stack, java_script_enabled=False)
    rows = page.locator("tbody tr")
    assert rows.count() == len(stack.steps) == 21
    assert "(1, 2, 6, 6)" in rows.nth(4).inner_text()
    assert "each head looks most at Apollo 13, [MASK]" in rows.nth(4).inner_text()
    assert page.locator("body").inner_text().count("\n") == 21, "the table, and nothing else"
    for step, path in zip(
        stack.steps, re.findall(r'href="\.\./([^"]+)"', stack._repr_html_()), strict=True
    ):
        assert f"class {step.code.__name__}" in (ROOT / path).read_text(encoding="utf-8")


def test_one_goes_on_by_keys_and_buttons_and_chooses_a_place(stack, show):
    page = show(stack)
    heading, boxes = page.locator("h4"), page.get_by_role("tab")
    assert heading.inner_text() == "token embedding"
    boxes.first.focus()
    page.keyboard.press("ArrowLeft")  # there is none before it
    assert boxes.nth(0).get_attribute("aria-selected") == "true"
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert heading.inner_text() == "Layer 1: attention"
    assert page.evaluate("document.activeElement.ariaSelected") == "true"
    assert page.locator("[tabindex='0'][role=tab]").count() == 1
    weights = page.locator(".heads").first.locator("tbody td").all_inner_texts()
    assert [float(w) for w in weights] == stack.steps[4].numbers[
        0
    ].flatten().double().numpy().round(2).tolist()
    page.get_by_role("button", name="Next").click()
    page.keyboard.press("ArrowRight")  # the focus stays on the button
    assert heading.inner_text() == "Layer 1: added"
    assert page.evaluate("document.activeElement.textContent") == "Next"
    last = stack.steps[6].numbers[-1]
    assert f"spread {last.std(correction=0):.2f}" in boxes.nth(6).inner_text()
    page.get_by_role("button", name="Aladdin").focus()
    page.keyboard.press("Enter")
    third = stack.steps[6].numbers[2]
    assert f"spread {third.std(correction=0):.2f}" in boxes.nth(6).inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Aladdin"
    canvas = page.locator(".rows canvas").nth(2)
    canvas.hover(position={"x": 1, "y": 5})
    said = page.locator(".panel > p").inner_text().replace("−", "-")
    assert said == f"Aladdin, number 1 of 64: {third[0]:.2f}"
    page.keyboard.press("End")
    assert page.locator(".films tbody th").all_inner_texts() == [f["title"] for f in stack.films]
    assert page.get_by_role("button", name="Next").get_attribute("aria-disabled") == "true"


def test_each_step_names_its_class_and_the_book_has_a_page_for_it(stack, show):
    book = SimpleNamespace(  # what a page of it shows of the same output
        _repr_html_=lambda: docs_script("make_book").SOURCE.sub(r"\1.html", stack._repr_html_())
    )
    for shown, end in ((stack, ".py"), (book, ".html")):
        page = show(shown)
        page.get_by_role("tab").first.focus()
        for number, step in enumerate(stack.steps):
            link = page.locator(".head a")
            assert link.inner_text() == step.code.__name__
            assert re.fullmatch(rf"\.\./bert4rec/[\w/]+\{end}", link.get_attribute("href"))
            assert f"step {number + 1} of 21" in page.locator(".head").inner_text()
            page.keyboard.press("ArrowRight")


def test_several_on_a_page_do_not_collide(shipped, stack, show):
    page = show(stack, walk(shipped, TOY[:2]))
    one, other = (page.locator(".bert4rec-walk").nth(number) for number in (0, 1))
    other.get_by_role("tab").nth(3).click()
    page.keyboard.press("ArrowRight")
    assert one.locator("h4").inner_text() == "token embedding"
    assert other.locator("h4").inner_text() == "Layer 1: attention"
    assert other.locator(".heads").first.locator("tbody tr").count() == 3
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids)) == 44


@pytest.mark.parametrize("around", AROUND)
def test_it_fits_a_phone_and_is_dark_where_the_page_is(stack, show, around):
    page = show(stack, around=around, width=390)
    page.get_by_role("tab").first.focus()
    for _ in stack.steps if around == "plain" else ():
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        wide = page.locator(".wide")
        assert wide.evaluate("one => one.scrollWidth <= one.clientWidth + 1")
    for box in page.locator(".box").all():
        assert box.evaluate("one => one.scrollWidth <= one.clientWidth")
    paper, ink = (
        page.locator(".bert4rec-walk").evaluate(f"one => getComputedStyle(one).{kind}")
        for kind in ("backgroundColor", "color")
    )
    light = [sum(map(int, re.findall(r"\d+", colour))) for colour in (paper, ink)]
    assert (light[0] < light[1]) == ("dark" in around)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.get_by_role("tab").nth(4).click()
    page.screenshot(path=SHOTS / f"walk-390-{around.partition(',')[0]}.png", full_page=True)


# ------------------------------------------------------------------ the live page in a notebook


def test_the_page_runs_in_a_frame_dark_where_the_notebook_is(show):
    for around, dark in (("plain", False), ("JupyterLab, dark", True)):
        page = show(live.live_model(600), around=around, color_scheme="light")
        frame = page.frame_locator("iframe")
        frame.locator("body.ready").wait_for()
        before = frame.locator("#answers .name").all_inner_texts()
        assert len(before) == 10
        frame.get_by_role("button", name="Remove Aladdin").click()
        assert frame.locator("#answers .name").all_inner_texts() != before
        ground = frame.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == dark
        address = page.url
        frame.locator(".skip").focus()
        page.keyboard.press("Enter")
        assert frame.locator("#answers .name").count() == 10, "the link stays inside the frame"
        assert page.url == address
        assert frame.locator("a:not(.skip)").count() == 0, "a notebook has no page beside it"
        assert page.locator("iframe").evaluate("one => one.clientHeight") == 600


def test_the_book_gets_the_same_page(tmp_path):
    docs_script("make_live").write(tmp_path / "book" / "live.html")
    text = (tmp_path / "book" / "live.html").read_text(encoding="utf-8")
    assert text == live.page()
    assert '<a href="index.html" target="_top">the book</a>' in text
    assert live.LIVE.is_relative_to(ROOT / "bert4rec"), "it travels with the package"


def cell(name: str, identity: str) -> dict:
    notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    (found,) = (cell for cell in notebook["cells"] if cell["id"] == identity)
    return found


def test_what_is_committed_is_a_picture_with_words_and_a_walk_that_still_is_one(stack, html):
    pictures = docs_script("make_picture")
    for where in (pictures.LIVE, pictures.PICKER):
        (output,) = cell(*where)["outputs"]
        assert set(output["data"]) == {"image/png", "text/plain"}
        assert len(output["data"]["image/png"]) < 240_000
        assert len(output["metadata"]["image/png"]["alt"]) > 40
    (output,) = cell("03_build_bert", "03-95")["outputs"]
    assert "".join(output["data"]["text/plain"]) == repr(stack)
    committed = "".join(output["data"]["text/html"])
    script = ROOT / "bert4rec" / "notebook" / "live_figures" / "walk.js"
    assert script.read_text("utf-8") in committed, "the cell is to be run again"
    for one, other in zip(told(committed)["steps"], told(html)["steps"], strict=True):
        np.testing.assert_allclose(one["numbers"], other["numbers"], atol=1e-3)


def test_what_notebook_0_says_of_the_order_of_films(shipped):
    """How many of ten films stay if the newest one becomes the oldest."""
    sayings = "".join(cell("00_start_here", "00-22")["source"])
    assert (
        "of ten films six stay in counting, five in BERT4Rec and in SASRec, and four in the mixture"
        in (sayings)
    )
    counting = Blend(shipped.model, shipped.blend.table, 1.0)
    networks = [Recommender.load(name, blend=False).model for name in live.NETWORKS.values()]
    tokens = torch.as_tensor(shipped.tokens(TOY))[None].long()
    stay = []
    for scorer in (shipped.scorer, counting, *networks):
        tops = []
        for history in (tokens, tokens.roll(1, dims=1)):
            scores = scorer.score(history).scatter(1, tokens, -torch.inf)
            tops.append(set(scores.topk(10).indices[0].tolist()))
        stay.append(len(tops[0] & tops[1]))
    assert stay == [4, 6, 5, 5]
