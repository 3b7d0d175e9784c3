"""The live page computes what PyTorch computes, and can be used by hand, by keyboard and by ear.

It needs Playwright and a Chromium (Debian: apt install chromium). What is only computed is tested
with Node where there is no Chromium. Screenshots are kept in runs/browser/.
"""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from helpers import CHROMIUM, ROOT, SHOTS, watched

from bert4rec import Recommender
from bert4rec.evaluation import Blend
from bert4rec.notebook import live_model as live

NODE = shutil.which("node")
TOY = live.EXAMPLES["Toy user"]
MODES = ("mixed", "bert4rec", "sasrec", "counting")
# what the tests ask of the modules: of each history all scores, attention, the best, and reasons
ASK = """
(scorers, best, cases) => cases.map(({ mode, tokens, masked }) => {
  const scorer = scorers[mode];
  const seen = tokens.filter((token) => token !== 3417);
  const scores = scorer.next(tokens);
  const [first, ...others] = best(scores, 5, seen);
  const answer = {
    scores: Array.from(scores).slice(1, -1),
    best: [first, ...others].map((film) => film.token),
    gains: tokens.slice(0, 5).map((_, place) => scorer.gain(tokens, place, first.token)),
  };
  if (scorer.network && scorer.weight === 0) {
    const question = scorer.network.question(tokens);
    const collected = [];
    const [guesses] = scorer.network.scores(question, [masked], collected);
    answer.guesses = Array.from(guesses).slice(1, -1);
    answer.attention = collected.map((heads) => heads.map((rows) => rows.map((row) => [...row])));
  }
  return answer;
})
"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "live.html"
    path.write_text(live.page(), encoding="utf-8")
    return path


@pytest.fixture
def open_page(chromium, page_file):
    """Opens the page from the disk; at the end nothing may have failed in it, nor been fetched."""
    opened, failures, requests = [], [], []

    def opening(width=1440, height=1000, **options):
        page = watched(chromium, page_file, failures, requests, width, height, **options)
        page.wait_for_selector("body.ready")
        opened.append(page)
        return page

    yield opening
    for page in opened:
        page.close()
    assert failures == []
    assert requests == [page_file.as_uri()] * len(opened)


@pytest.fixture(scope="module")
def recommenders():
    return {
        "mixed": Recommender.load("ml-1m"),
        "bert4rec": Recommender.load("ml-1m", blend=False),
        "sasrec": Recommender.load("ml-1m-causal", blend=False),
    }


@pytest.fixture(scope="module")
def cases(recommenders):
    """Histories of all lengths, the toy user's first, for each way to recommend."""
    recommender, rng = recommenders["mixed"], np.random.default_rng(4)
    chosen = recommender.catalogue.counts[1:-1] / recommender.catalogue.counts.sum()
    drawn = [rng.choice(3416, size=size, replace=False, p=chosen) + 1 for size in (1, 2, 8, 25, 99)]
    histories = [recommender.tokens(TOY), *drawn]
    return [
        {"mode": mode, "tokens": history.tolist(), "masked": len(history) // 2}
        for mode in MODES
        for history in histories
    ]


@pytest.fixture(scope="module")
def answers(cases, page_file, request, tmp_path_factory):
    """What the modules say of all cases: in Chromium, or else in Node."""
    if CHROMIUM is not None:
        page = request.getfixturevalue("chromium").new_page()
        page.goto(page_file.as_uri())
        page.wait_for_selector("body.ready")
        ask = f"(cases) => JSON.stringify(({ASK})(live.scorers, live.best, cases))"
        found = page.evaluate(ask, cases)  # as text: number by number takes many seconds
        page.close()
        return json.loads(found)
    if NODE is None:
        pytest.skip("there is neither chromium nor node on the path")
    about, numbers = live.content()
    script = live.script(live.LIVE, live.MODULES[: live.MODULES.index("elements")])
    given = json.dumps({"about": about, "numbers": numbers, "cases": cases})
    script += f"""
const given = {given};
const scorers = makeScorers(given.about, await unpack(given.numbers, given.about.parts));
console.log(JSON.stringify(({ASK})(scorers, best, given.cases)));
"""
    path = tmp_path_factory.mktemp("node") / "live.mjs"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run([NODE, path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_scores_are_those_of_pytorch(cases, answers, recommenders):
    for case, answer in zip(cases, answers, strict=True):
        scorer = scorer_of(case["mode"], recommenders)
        wanted = scorer.score(torch.tensor([case["tokens"]]))[0, 1:-1].numpy()
        # weights are kept in half precision
        np.testing.assert_allclose(answer["scores"], wanted, atol=0.01, err_msg=case["mode"])


def test_guesses_and_attention_with_a_mask_in_the_middle_are_those_of_pytorch(
    cases, answers, recommenders
):
    asked = 0
    for case, answer in zip(cases, answers, strict=True):
        if "attention" not in answer:
            continue
        model = recommenders[case["mode"]].model
        question = model.question(torch.tensor([case["tokens"]]))
        attention = torch.stack(model.attention(question))[:, 0].numpy()
        np.testing.assert_allclose(answer["attention"], attention, atol=0.001)
        with torch.no_grad():
            guesses = model(question)[0, case["masked"], 1:-1].numpy()
        np.testing.assert_allclose(answer["guesses"], guesses, atol=0.01)
        asked += 1
    assert asked == 12


def test_a_mask_is_read_from_both_sides(recommenders, page_file, open_page):
    """BERT4Rec's scores at a [MASK] in a history, beside PyTorch's."""
    tokens = recommenders["mixed"].tokens(TOY).tolist()
    tokens[2] = 3417
    page = open_page()
    place = "live.scorers.bert4rec.network.scores([...tokens, 3417], [2])[0]"
    found = page.evaluate(f"tokens => Array.from({place}).slice(1, -1)", tokens)
    with torch.no_grad():
        wanted = recommenders["bert4rec"].model(torch.tensor([[*tokens, 3417]]))[0, 2, 1:-1]
    np.testing.assert_allclose(found, wanted.numpy(), atol=0.01)
    turned = [*tokens[:3], *tokens[:2:-1]]
    other = page.evaluate(f"tokens => Array.from({place}).slice(1, -1)", turned)
    assert np.abs(np.array(found) - other).max() > 0.1  # what comes after it counts


def test_the_best_five_are_those_of_the_recommender(cases, answers, recommenders):
    for case, answer in zip(cases, answers, strict=True):
        if case["mode"] == "counting":
            continue  # its ties may be broken either way
        recommender = recommenders[case["mode"]]
        ids = recommender.vocabulary.ids(np.array(case["tokens"])).tolist()
        wanted = recommender.recommend(ids, k=5)["title"].tolist()
        assert [recommender.titles[token - 1] for token in answer["best"]] == wanted, case


def test_reasons_are_those_of_the_recommender(cases, answers, recommenders):
    compared = 0
    for case, answer in zip(cases, answers, strict=True):
        if case["mode"] == "counting" or len(case["tokens"]) > 25:
            continue
        recommender = recommenders[case["mode"]]
        ids = recommender.vocabulary.ids(np.array(case["tokens"])).tolist()
        table = recommender.explain(ids)
        parts = {"attention": "gain"}
        if case["mode"] == "mixed":
            parts = {"attention": "of which", "counting": "of which"}
        for part, column in parts.items():
            name = part if column == "of which" else table["gain"].columns[0]
            wanted = table[column, name].to_numpy()[: min(len(ids), 5)]
            found = [gain[part] for gain in answer["gains"]]
            np.testing.assert_allclose(found, wanted, atol=0.02)
            compared += 1
    assert compared == 20


def scorer_of(mode, recommenders):
    if mode == "counting":
        return Blend(recommenders["mixed"].model, recommenders["mixed"].blend.table, 1.0)
    return recommenders[mode].scorer


def names(page, where):
    return page.locator(f"{where} .name").all_inner_texts()


def test_a_title_is_found_as_people_type_it(open_page, recommenders):
    texts = [
        *("matrix", "the matrix", "Matrix, The (1999)", "ET", "e.t.", "schindlers list", "m"),
        *("terminator 2", "Terminator II", "lion king", "toy story 1995", "star wars", "amadeus"),
        *("CITE DES ENFANTS PERDUS", "l.a. confidential", "léon", "sound of music"),
    ]
    page = open_page()
    for text in texts:
        found = page.evaluate("text => live.index.find(text).tokens[0]", text)
        assert found == recommenders["mixed"].catalogue.token(text), text
    near = page.evaluate("live.index.find('matirx')")
    assert near["near"]
    assert recommenders["mixed"].titles[near["tokens"][0] - 1] == "Matrix, The (1999)"


def test_everything_can_be_done_with_the_keyboard(open_page):
    page = open_page()
    toy = ["Toy Story", "The Lion King", "Aladdin", "Jurassic Park", "Apollo 13"]
    assert names(page, "#history") == toy
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the recommendations"
    film = page.get_by_role("combobox", name="Add a film")
    film.focus()
    page.keyboard.type("alien")
    assert film.get_attribute("aria-expanded") == "true"
    page.keyboard.press("ArrowDown")
    option = page.locator(f"#{film.get_attribute('aria-activedescendant')}")
    assert option.get_attribute("aria-selected") == "true"
    assert option.inner_text().startswith("Aliens")
    before = names(page, "#answers")
    page.keyboard.press("Enter")
    assert names(page, "#history") == [*toy, "Aliens"]
    assert film.get_attribute("aria-expanded") == "false"
    assert names(page, "#answers") != before
    heard = ", ".join(f"{rank} {name}" for rank, name in enumerate(names(page, "#answers"), 1))
    page.wait_for_function(
        "heard => document.querySelector('#said').textContent.includes(heard)", arg=heard
    )
    page.get_by_role("button", name="Move Aliens up").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    assert names(page, "#history")[3:] == ["Aliens", "Jurassic Park", "Apollo 13"]
    assert page.evaluate("document.activeElement.ariaLabel") == "Move Aliens up"
    page.get_by_role("button", name="Remove Aliens").focus()
    page.keyboard.press("Enter")
    assert names(page, "#history") == toy
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove Jurassic Park"
    page.locator("input[value=mixed]").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("input[value=bert4rec]").is_checked()
    first = page.locator(".pick").first
    first.focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-expanded") == "true"
    assert page.locator(".reasons tbody th").all_inner_texts() == toy
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # its film is added; what takes its place has the focus
    assert len(names(page, "#history")) == 6
    assert page.evaluate("document.activeElement.className") == "add"


def test_a_film_is_dragged_with_the_mouse_and_chosen_with_it(open_page):
    page = open_page()
    rows = page.locator("#history li")
    before = names(page, "#answers")
    start, end = rows.nth(0).bounding_box(), rows.nth(3).bounding_box()
    page.mouse.move(start["x"] + 150, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(end["x"] + 150, end["y"] + 10, steps=8)
    page.mouse.move(end["x"] + 150, end["y"] + end["height"] - 5, steps=4)
    page.mouse.up()
    moved = ["The Lion King", "Aladdin", "Jurassic Park", "Toy Story", "Apollo 13"]
    assert names(page, "#history") == moved
    assert names(page, "#answers") != before
    page.get_by_role("combobox").fill("blade run")
    page.get_by_role("option", name="Blade Runner").click()
    assert names(page, "#history") == [*moved, "Blade Runner"]


def test_a_hidden_film_is_guessed_and_those_who_cannot_say_why(open_page):
    page = open_page()
    page.get_by_role("button", name="Hide Aladdin behind a [MASK]").click()
    page.get_by_role("button", name="Insert a [MASK]").click()
    assert [token == 3417 for token in page.evaluate("live.read().tokens")][2:4] == [True, True]
    row = page.locator("#history li", has_text="guessed")
    assert "Aladdin" in row.inner_text()
    assert row.locator(".guesses span").count() == 3
    assert page.locator("#without").inner_text() == ""
    page.locator("input[value=sasrec]").check(force=True)
    assert "SASRec cannot fill in a [MASK]" in page.locator("#without").inner_text()
    assert page.locator("#history .share:not(:empty)").count() == 4
    page.locator("input[value=counting]").check(force=True)
    assert "Counting knows no [MASK]" in page.locator("#without").inner_text()
    assert page.locator("#arcs path").count() == 0


def test_arcs_begin_at_the_question_also_while_a_new_row_glides_in(open_page):
    page = open_page()
    page.locator("#film").fill("alien (1979)")
    page.locator("#film").press("Enter")
    page.locator("#history li", has_text="Alien").wait_for()
    where = """() => {
        const question = document.querySelector("#history .question").getBoundingClientRect();
        const ring = document.querySelector("#arcs .from").getBoundingClientRect();
        return [ring.top + ring.height / 2, question.top, question.bottom];
    }"""
    page.wait_for_timeout(600)  # all rows stand still
    ring, top, bottom = page.evaluate(where)
    assert top < ring < bottom


def test_the_spoken_list_is_the_ten_films_also_with_a_reason_open(open_page):
    page = open_page()
    page.locator("#answers .pick").first.click()
    page.locator("#answers .reasons").wait_for()
    page.get_by_role("button", name="Hitchcock").click()
    page.wait_for_function("document.querySelector('#said').textContent.includes('10 ')")
    page.locator("#answers .pick").first.click()
    page.get_by_role("button", name="Toy user").click()
    page.wait_for_function("document.querySelector('#said').textContent.includes('Men in Black')")
    said = page.locator("#said").inner_text()
    assert said.startswith("Recommended by BERT4Rec and counting: 1 A Bug's Life, 2 ")
    assert "left out" not in said
    assert "11 " not in said


def test_a_page_around_it_may_set_the_theme(open_page):
    page = open_page()
    for theme in ("dark", "light"):
        page.evaluate("theme => postMessage({ theme }, '*')", theme)
        page.wait_for_function(
            "theme => document.documentElement.dataset.theme === theme", arg=theme
        )


def test_attention_follows_what_is_pointed_at(open_page):
    page = open_page()
    assert page.locator("#who").inner_text() == "the question"
    shares = page.locator("#history .share").all_inner_texts()
    assert page.locator("#arcs path").count() == 5  # to all but itself
    page.locator("#history li").nth(1).hover()
    assert page.locator("#who").inner_text() == "The Lion King"
    assert page.locator("#history .share").all_inner_texts() != shares
    page.mouse.move(5, 5)
    page.get_by_role("radio", name="layer 2, head 1").check(force=True)
    assert page.locator("#who").inner_text() == "the question"
    assert page.locator("#history .share").all_inner_texts() != shares


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (750, "light")])
def test_a_narrow_screen_needs_no_scrolling_sideways(open_page, width, scheme):
    page = open_page(width, 844, color_scheme=scheme)
    page.get_by_role("combobox").fill("star wars")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Insert a [MASK]").click()
    page.get_by_role("button", name="Hide Jurassic Park").click()
    for mode in MODES:
        page.locator(f"input[value={mode}]").check(force=True)
        if not page.locator(".reasons").count():  # it stays open while its film is in the list
            page.locator(".pick").first.click()
        page.locator(".reasons tbody tr").first.wait_for()
        page.get_by_role("combobox").fill("e")
        assert page.evaluate("document.documentElement.scrollWidth") == width, mode
        for section in page.locator("section, .switch").all():
            assert section.evaluate("one => one.scrollWidth <= one.clientWidth"), mode
        page.get_by_role("combobox").fill("")
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"live-{width}-{scheme}.png", full_page=True)


def test_light_dark_and_still(open_page):
    page = open_page(color_scheme="light", reduced_motion="reduce")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Switch to dark").click()
    assert page.evaluate(ground) != light
    assert page.get_by_role("button", name="Switch to light").is_visible()
    page.get_by_role("button", name="Move Aladdin up").click()
    assert page.evaluate("document.getAnimations().length") == 0


def test_nothing_and_very_much(open_page, recommenders):
    page = open_page()
    page.get_by_role("button", name="Nothing").click()
    popular = recommenders["mixed"].recommend([], k=10)["title"].tolist()
    shown = page.locator(".pick").evaluate_all("all => all.map((one) => one.title)")
    assert [title.rpartition(", score ")[0] for title in shown] == popular
    page.evaluate("live.start(Array.from({ length: 120 }, (_, place) => 20 * place + 1))")
    assert page.locator("#history .share:not(:empty)").count() == 100  # 99 films and [MASK]
    page.evaluate("live.start(Array.from({ length: 25 }, (_, place) => 20 * place + 1))")
    page.locator(".pick").first.click()
    page.locator(".reasons tbody tr").nth(24).wait_for()


def test_figures_are_those_of_the_results(page_file):
    """NDCG@10 of each model as shipped, and hits, by results/blend.json."""
    record = json.loads((ROOT / "results" / "blend.json").read_text(encoding="utf-8"))
    rows = {row.get("weights"): row for row in record["rows"].values()}
    bert, sasrec = (rows[folder] for folder in live.NETWORKS.values())
    models = bert["protocols"]["full"]["models"]
    shown = {
        "mixed": models["blend"],
        "bert4rec": models["network"],
        "sasrec": sasrec["protocols"]["full"]["models"]["network"],
        "counting": models["transitions"],
    }
    figures = json.loads((live.LIVE / "figures.json").read_text(encoding="utf-8"))
    assert figures == {
        **{name: f"{row['NDCG@10']['mean']:.3f}"[1:] for name, row in shown.items()},
        "hits": f"{models['blend']['HR@10']['mean']:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
        "users": f"{bert['users']:,}",
        "items": f"{bert['items']:,}",
    }
    text = page_file.read_text(encoding="utf-8")
    assert f"its NDCG@10 is {figures['mixed']}" in text
    assert figures["mixed"] not in (live.LIVE / "index.html").read_text("utf-8")
    assert "{{" not in text.split("<script")[0]


def test_its_mark_is_the_books():
    book = ROOT / "docs" / "book" / "_static" / "mark.svg"
    assert (live.LIVE / "mark.svg").read_bytes() == book.read_bytes()
