"""The live figures of notebooks 2, 5 and 6: they compute what Python does, and can be used by all.

It needs Playwright and a Chromium (Debian: apt install chromium). Screenshots are kept in
runs/browser/.
"""

import base64
import io
import json

import numpy as np
import pytest
import torch
from helpers import ROOT, SHOTS, watched
from PIL import Image

from bert4rec import InputError, Ranks
from bert4rec.cloze import choose_masked
from bert4rec.evaluation import Report
from bert4rec.evaluation.metrics import values_of
from bert4rec.notebook import live

TITLES = ["Alien (1979)", "Aliens (1986)", "Amélie (2001)", "<b>Bold</b> </script>", "Heat (1995)"]
ROWS = torch.tensor([[0, 0, 0, 4, 5], [0, 0, 1, 2, 3], [1, 2, 3, 4, 5]])
POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.1], [0.0, 2.0], [2.0, 2.0]])
VECTORS = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.7, 0.7], [0.0, 1.0], [0.1, 0.9]])
NOTEBOOKS = ("02_cloze_masking", "05_evaluate", "06_recommend")


@pytest.fixture
def open_page(chromium, tmp_path):
    """Opens a page of figures from the disk; nothing may fail in it, nor be fetched."""
    opened, failures, requests = [], [], []
    path = tmp_path / "figures.html"

    def opening(*figures, width=1000, attributes="", **options):
        body = "\n".join(figure.html for figure in figures)
        head = '<!doctype html><meta charset="utf-8"><meta name="viewport"'
        head += ' content="width=device-width">'
        path.write_text(f"{head}<body {attributes}>{body}</body>", encoding="utf-8")
        page = watched(chromium, path, failures, requests, width, **options)
        opened.append(page)
        return page

    yield opening
    for page in opened:
        page.close()
    assert failures == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()] * len(opened)


@pytest.fixture(scope="module")
def ask(chromium):
    """Computes with a module of live_figures/: what an expression of `given` is."""
    page = chromium.new_page()

    def asked(modules, expression, given):
        # as text: number by number takes many seconds
        code = f"text => {{ {live.script(live.FOLDER, modules)}\nconst given = JSON.parse(text);"
        return json.loads(
            page.evaluate(f"{code}\nreturn JSON.stringify({expression}); }}", json.dumps(given))
        )

    yield asked
    page.close()


def reports() -> dict[str, Report]:
    """Two models of forty users: one close, the other first or far; each leads once."""
    rng = np.random.default_rng(0)
    near, first = rng.integers(3, 20, 40), np.where(np.arange(40) % 2, 0, 500)
    tied = np.where(np.arange(40) % 5, 1, 3)
    few = np.zeros(40, dtype=int)
    found = {}
    for name, a, b in (("all", near + 10, first), ("few", few, first // 25)):
        ranks = {"near": Ranks(a, tied), "first": Ranks(b, np.ones(40, dtype=int))}
        found[name] = Report(name, 40, 600, 0, "test", ranks)
    return found


def data_of(figure: live.LiveFigure) -> dict:
    _, _, rest = figure.html.partition('<script type="application/json">')
    return json.loads(rest.partition("</script>")[0])


@pytest.fixture(scope="module")
def figures() -> dict[str, live.LiveFigure]:
    names = dict(enumerate(TITLES, start=1))
    genres = ["Horror|Sci-Fi", "Action|Sci-Fi", "Comedy", "", "Action"]
    groups = ["Sci-Fi", "Sci-Fi", "Comedy", "other", "other"]
    return {
        "masks": live.masks(ROWS, names),
        "rank": live.rank(),
        "protocols": live.protocols({name: report.models for name, report in reports().items()}),
        "map": live.item_map(POINTS, TITLES, groups, genres, VECTORS, nearest=2),
    }


# ------------------------------------------------------------------ the numbers are Python's


def random_rows(count: int) -> torch.Tensor:
    """Rows of ten places with two to ten films."""
    lengths = 2 + torch.arange(count) % 9
    return torch.where(torch.arange(10) >= 10 - lengths[:, None], 7, 0)


@pytest.mark.parametrize(("mask_prob", "last"), [(0.05, 0.0), (0.3, 0.1), (0.95, 0.5), (0.5, 1.0)])
def test_the_same_draws_hide_the_same_films_as_in_python(ask, mask_prob, last):
    rows = random_rows(3000)
    generator = torch.Generator().manual_seed(5)
    wanted = choose_masked(rows, mask_prob, last, generator)
    generator.manual_seed(5)
    draws = torch.rand(rows.shape, generator=generator)
    last_draws = torch.rand(len(rows), generator=generator)
    found = ask(
        ("frame", "masks"),
        "given.rows.map((row, i) =>"
        " maskRow(row, given.draws[i], given.last[i], given.p, given.q).masked)",
        {
            "rows": rows.tolist(),
            "draws": draws.tolist(),
            "last": last_draws.tolist(),
            "p": mask_prob,
            "q": last,
        },
    )
    assert torch.equal(torch.tensor(found), wanted)


@pytest.mark.parametrize(("mask_prob", "last"), [(0.05, 0.0), (0.3, 0.1), (0.95, 0.5)])
def test_masks_drawn_in_the_browser_are_distributed_as_in_python(ask, mask_prob, last):
    rows = random_rows(9000)
    given = {"rows": rows.tolist(), "p": mask_prob, "q": last}
    expression = "chooseMasked(given.rows, given.p, given.q, generator(3))"
    drawn = ask(("frame", "masks"), expression, given)
    masked = torch.tensor([row["masked"] for row in drawn])
    items = rows != 0
    assert not (masked & ~items).any(), "padding, never"
    assert masked.any(dim=1).all()
    assert (items & ~masked).any(dim=1).all()
    wanted = choose_masked(rows, mask_prob, last, torch.Generator().manual_seed(3))
    by_place = [(chosen.sum(dim=0) / items.sum(dim=0)) for chosen in (masked, wanted)]
    torch.testing.assert_close(by_place[0], by_place[1], atol=0.05, rtol=0)
    assert abs(masked[items].float().mean() - wanted[items].float().mean()) < 0.01
    kinds = [row["kind"] for row in drawn]
    assert abs(kinds.count("last") / len(rows) - last) < 0.02
    only_last = masked[:, -1] & (masked.sum(dim=1) == 1)
    told = ask(("frame", "masks"), "shares(given.rows, given.p, given.q, generator(3), 1)", given)
    assert told["hidden"] == pytest.approx(masked[items].float().mean().item(), abs=1e-6)
    assert told["last"] == pytest.approx(only_last.float().mean().item(), abs=1e-6)
    assert told["mended"] == kinds.count("mended") / len(rows)
    assert told["places"] == pytest.approx(by_place[0].tolist(), abs=1e-6)


def test_the_browser_draws_evenly_and_the_same_again(ask):
    expression = "[1, 1, 2].map((seed) => Array.from({ length: 20000 }, generator(seed)))"
    one, again, other = np.array(ask(("frame", "masks"), expression, None))
    assert (one == again).all()
    assert (one != other).mean() > 0.99
    counts = np.histogram(one, bins=20, range=(0, 1))[0]
    assert counts.sum() == 20000
    assert abs(counts - 1000).max() < 150
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.03


@pytest.mark.parametrize("metric", ["HR@1", "HR@10", "NDCG@5", "NDCG@10", "NDCG@20", "MRR"])
def test_a_rank_is_worth_what_python_says(ask, metric):
    above, tied = (grid.ravel() for grid in np.meshgrid(np.arange(60), [1, 2, 7, 50]))
    given = {"metric": metric, "above": above.tolist(), "tied": tied.tolist()}
    expression = "given.above.map((above, i) => worth(given.metric, above, given.tied[i]))"
    found = ask(("metrics",), expression, given)
    np.testing.assert_allclose(found, values_of(metric, above, tied), atol=1e-12)


@pytest.mark.parametrize("metric", ["NDCG@10", "HR@10", "MRR"])
def test_means_errors_and_paired_differences_are_those_of_a_report(ask, metric):
    for report in reports().values():
        figure = live.protocols({"these": report.models}, (metric,))
        given = data_of(figure) | {"metric": metric}
        expression = "compare(given.models, given.protocols.these, given.metric)"
        found = ask(("frame", "metrics", "protocols"), expression, given)
        for row in found["rows"]:
            ranks = report.models[row["name"]]
            assert row["mean"] == pytest.approx(ranks.metric(metric))
            assert row["error"] == pytest.approx(ranks.standard_error(metric))
        wanted = report.difference("near", "first", metric)
        assert found["gap"]["mean"] == pytest.approx(wanted["difference"])
        assert found["gap"]["error"] == pytest.approx(wanted["standard_error"])


def test_what_is_less_than_two_errors_is_no_lead(ask):
    given = [{"mean": mean, "error": 0.01} for mean in (0.019, -0.019, 0.021, -0.021)]
    modules = ("frame", "metrics", "protocols")
    found = ask(modules, "given.map((gap) => verdict(['a', 'b'], gap))", given)
    starts = [text.split(".")[0] for text in found]
    assert starts[:2] == ["No lead that we could claim"] * 2
    assert starts[2].startswith("a leads by 2")
    assert starts[3].startswith("b leads by 2")


def test_a_title_is_found_by_parts_of_it_and_a_neighbour_by_direction(ask):
    texts = ["alien", "ALIENS 1986", "amelie", "", "matrix"]
    given = {"titles": TITLES, "texts": texts, "points": POINTS.tolist()}
    found = ask(("frame", "map"), "given.texts.map((text) => matches(given.titles, text))", given)
    assert found == [[0, 1], [1], [2], [], []]
    steps = "[[1, 0], [0, 1], [-1, 0]].map((to) => towards(given.points, 0, to))"
    assert ask(("frame", "map"), steps, given) == [1, 3, 0]
    # the third point is nearest to the second, but it lies beside it, and not below
    assert ask(("frame", "map"), "towards(given.points, 1, [0, 1])", given) == 3


def test_nearest_is_by_the_cosine_of_vectors(figures):
    data = data_of(figures["map"])
    unit = VECTORS.numpy() / np.linalg.norm(VECTORS.numpy(), axis=1, keepdims=True)
    cosine = unit @ unit.T - 2 * np.eye(5)
    assert data["near"] == np.argsort(-cosine, axis=1)[:, :2].tolist()
    assert data["titles"] == TITLES
    assert data["points"][0] == [0, 1], "the lowest is at the bottom of the page"


# ------------------------------------------------------------------ anybody can use it


def test_each_figure_takes_its_pictures_place_and_two_do_not_meet(open_page, figures):
    page = open_page(*figures.values(), figures["masks"])
    assert page.locator(".figure").count() == 5
    assert page.locator("img:visible").count() == 0
    first, second = page.get_by_role("slider", name="mask_prob").all()
    before = page.locator(".grid").nth(1).inner_html()
    first.focus()
    page.keyboard.press("ArrowRight")
    assert first.get_attribute("aria-valuetext") == "0.35"
    assert second.get_attribute("aria-valuetext") == "0.30"
    assert page.locator(".grid").nth(1).inner_html() == before


def test_a_figure_leaves_no_name_in_the_page(open_page, figures):
    empty = live.LiveFigure("", b"", "")
    own = "Object.getOwnPropertyNames(window).filter((name) => !/^\\d+$/.test(name)).sort()"
    assert open_page(*figures.values()).evaluate(own) == open_page(empty).evaluate(own)


def test_keys_pressed_in_a_figure_are_no_shortcuts_of_the_page(open_page, figures):
    page = open_page(figures["map"])
    page.evaluate("heard = []; addEventListener('keydown', (event) => heard.push(event.key))")
    page.keyboard.press("x")
    page.get_by_role("searchbox").focus()
    page.keyboard.type("dd/")
    assert page.evaluate("heard") == ["x"]
    assert page.get_by_role("searchbox").input_value() == "dd/"
    # JupyterLab listens before the figure does, and asks for this
    assert page.locator(".bert4rec-live[data-lm-suppress-shortcuts]").count() == 1


def test_without_scripts_there_is_a_picture_with_words(open_page, figures):
    page = open_page(*figures.values(), java_script_enabled=False)
    assert page.locator("img:visible").count() == 4
    for picture in page.locator("img").all():
        assert picture.bounding_box()["width"] > 300
        assert len(picture.get_attribute("alt")) > 40


def test_other_readers_of_a_notebook_get_the_picture_and_the_words(figures):
    for figure in figures.values():
        bundle, about = figure._repr_mimebundle_()
        assert set(bundle) == {"text/html", "image/png", "text/plain"}
        picture = base64.b64decode(bundle["image/png"])
        pixels = Image.open(io.BytesIO(picture)).width
        assert pixels // 2 == about["image/png"]["width"], "sharp on any screen"
        assert f'width="{pixels // 2}"' in bundle["text/html"]
        assert bundle["image/png"] in bundle["text/html"]
        assert bundle["text/plain"] == repr(figure)


def test_masks_follow_the_sliders_and_are_told(open_page, figures):
    page = open_page(figures["masks"])
    last = page.get_by_role("slider", name="last_item_prob")
    last.focus()
    page.keyboard.press("End")
    hidden = page.locator(".grid tbody tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].slice(1).map((cell) => cell.className))"
    )
    assert [row.index("hidden") for row in hidden] == [4, 4, 4]
    assert sum(row.count("hidden") for row in hidden) == 3
    assert hidden[0][:3] == ["padding"] * 3
    told = page.get_by_role("status")
    assert "3 films are hidden. In 3 of 3 rows only the last film" in told.inner_text()
    row = page.get_by_role("row", name="rows that hide the last film alone")
    assert "100" in row.inner_text()
    page.keyboard.press("Home")
    drawn = page.locator(".grid tbody").inner_html()
    page.get_by_role("button", name="Draw anew").focus()
    for _ in range(20):  # one draw may repeat the one before
        page.keyboard.press("Enter")
        if page.locator(".grid tbody").inner_html() != drawn:
            break
    assert page.locator(".grid tbody").inner_html() != drawn
    # titles are text, also those that look like HTML
    assert page.locator(".grid td", has_text="<b>Bold</b> </script>").count() == 2


def test_the_target_is_moved_with_the_keyboard_and_dragged(open_page, figures):
    page = open_page(figures["rank"])
    rank = page.get_by_role("slider", name="rank of the target")
    rank.focus()
    for key, wanted in (("Home", 1), ("ArrowRight", 2), ("End", 20)):
        page.keyboard.press(key)
        above = np.array([wanted - 1])
        shown = page.locator(".worths tbody td:nth-child(3)").all_inner_texts()
        values = [values_of(m, above, np.ones(1, int))[0] for m in ("HR@10", "NDCG@10", "MRR")]
        assert shown == [f"{value:.3f}" for value in values]
        assert page.get_by_role("status").inner_text().startswith(f"Rank {wanted}: HR@10")
    places = page.locator(".list span")
    box = places.nth(18).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    box = places.nth(9).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5, steps=5)
    page.mouse.up()
    assert rank.input_value() == "10"
    assert page.locator(".worths tbody .fall").first.inner_text() == "−1.000", "the cliff"
    page.get_by_role("combobox", name="k").select_option("20")
    assert page.locator(".worths tbody .fall").first.inner_text() == "0.000"


def test_two_models_change_places(open_page, figures):
    page = open_page(figures["protocols"], reduced_motion="reduce")
    names = page.locator(".row > span:first-child")
    assert names.all_inner_texts() == ["first", "near"]
    told = page.get_by_role("status")
    assert told.inner_text().startswith("first leads by")
    page.get_by_role("radio", name="all").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("radio", name="few").is_checked()
    assert names.all_inner_texts() == ["near", "first"]
    assert told.inner_text().startswith("near leads by")
    assert page.evaluate("document.getAnimations().length") == 0
    ranks = reports()["few"].models["near"]
    page.get_by_role("combobox", name="measure").select_option("NDCG@10")
    wanted = f"{ranks.metric('NDCG@10'):.3f} ± {ranks.standard_error('NDCG@10'):.3f}"
    assert page.locator(".row .number").first.inner_text() == wanted


def test_a_film_is_found_on_the_map_by_hand_by_keyboard_and_by_search(open_page, figures):
    page = open_page(figures["map"])
    area = page.get_by_role("application")
    told = page.get_by_role("status")
    area.focus()
    page.keyboard.press("ArrowRight")  # the first film
    assert told.inner_text() == "Alien (1979); nearest: Aliens (1986), Amélie (2001)"
    page.keyboard.press("ArrowUp")
    assert told.inner_text().startswith("<b>Bold</b> </script>;")
    page.get_by_role("searchbox", name="find a film").fill("alie")
    assert told.inner_text() == "2 films fit."
    page.keyboard.press("Enter")  # takes the first
    assert page.locator(".chosen strong").inner_text() == "Alien (1979)"
    page.keyboard.press("Tab")  # the genres stand between
    page.get_by_role("button", name="Aliens (1986)").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".chosen strong").inner_text() == "Aliens (1986)"
    assert page.locator(".chosen .note").inner_text() == "Action, Sci-Fi"
    assert page.locator(".links line").count() == 2
    box = area.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 16, box["y"] + 16)
    assert page.locator(".tip").inner_text() == "Heat (1995)"
    page.get_by_role("combobox", name="genre").select_option("Sci-Fi (2)")
    assert page.locator("path.faint").count() == 3
    page.mouse.move(box["x"] + box["width"] - 18, box["y"] + 18)
    assert page.locator(".tip").inner_text() == "Aliens (1986)", "the faint are not pointed at"


@pytest.mark.parametrize("width", [390, 320, 1440])
def test_a_narrow_page_needs_no_scrolling_sideways(open_page, figures, width):
    page = open_page(*figures.values(), width=width)
    page.get_by_role("searchbox").fill("alien")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for part in page.locator(".figure, .wide, .panel, .grid th, .switch").all():
        assert part.evaluate("one => one.scrollWidth <= one.clientWidth + 1"), part
    found, board, chosen = (
        page.locator(part).bounding_box()["y"] for part in (".films", ".board", ".chosen")
    )
    # what a search finds is seen where one types, also where a panel has no room beside the map
    assert found <= board + 40
    assert (chosen > board + 300) == (width < 600)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"figures-{width}.png", full_page=True)


GROUND = "one => getComputedStyle(one).backgroundColor"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(29, 32, 38)"


@pytest.mark.parametrize(
    ("attributes", "scheme", "ground"),
    [
        ("", "light", LIGHT),
        ("", "dark", DARK),
        ('data-theme="dark"', "light", DARK),
        ('data-theme="light"', "dark", LIGHT),
        ('data-jp-theme-light="false"', "light", DARK),
        ('data-jp-theme-light="true"', "dark", LIGHT),
        ('class="vscode-dark"', "light", DARK),
    ],
)
def test_light_or_dark_as_the_page_around_it(open_page, figures, attributes, scheme, ground):
    page = open_page(figures["masks"], attributes=attributes, color_scheme=scheme)
    assert page.locator(".figure").evaluate(GROUND) == ground


# ------------------------------------------------------------------ in the notebooks


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_figures_are_small_and_of_the_module_as_it_is(open_page, figures, name):
    book = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    shown = [
        "".join(output["data"]["text/html"])
        for cell in book["cells"]
        for output in cell.get("outputs", [])
        if "bert4rec-live" in "".join(output.get("data", {}).get("text/html", ""))
    ]
    assert len(shown) == {"05_evaluate": 2}.get(name, 1)
    for text in shown:
        assert len(text) < 300_000
        kind = text.partition('data-figure="')[2].partition('"')[0]
        wanted = figures[kind].html.partition("<style>")[2]
        assert text.partition("<style>")[2] == wanted, "run the notebook again"
        assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    page = open_page(*(live.LiveFigure(text, b"", "") for text in shown), width=390)
    assert page.locator(".figure").count() == len(shown)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.screenshot(path=SHOTS / f"figures-{name}.png", full_page=True)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(InputError, match="as many of each"):
        live.item_map(POINTS, TITLES[:4], ["other"] * 5, [""] * 5, VECTORS)
    with pytest.raises(InputError, match="two models"):
        live.protocols({"all": {"near": reports()["all"].models["near"]}})
    with pytest.raises(InputError, match="at least 2"):
        live.masks(torch.tensor([[0, 3]]), {3: "Heat"})
