"""Make docs/images/live.gif, the moving picture of the README: the live page as somebody uses it.

Its first frame is also what notebook 0 shows where no kernel runs. Notebook 6 shows the picker so,
as the browser's test left it in runs/browser/.

    python docs/make_live.py && pytest tests/test_browser.py && python docs/make_picture.py

It needs Playwright and a Chromium (Debian: apt install chromium). Each frame is a screenshot of the
page, so what the picture shows is what the page answers.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "html" / "live.html"
OUTPUT = ROOT / "docs" / "images" / "live.gif"
NOTEBOOKS = ROOT / "notebooks"
LIVE = ("00_start_here", "00-21")
LIVE_ALT = "The live page: five films with arcs to those that are looked at, and ten recommended."
PICKER = ("06_recommend", "06-46")
PICKER_ALT = (
    "The picker: a field to type a title into; four films as tags with a cross each; ten "
    "recommended films with scores, each with the buttons add and why?; beside them the attention "
    "behind the first of them as a heat map, above bars for what each film did for it."
)
SIZE = {"width": 1120, "height": 850}


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))))
    frames: list[tuple[Image.Image, int]] = []  # and how long each is shown, in milliseconds
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        how = {"viewport": SIZE, "reduced_motion": "reduce", "color_scheme": "light"}
        page, sharp = browser.new_page(**how), browser.new_page(**how, device_scale_factor=1.5)
        for one in (page, sharp):
            one.goto(PAGE.as_uri())
            one.locator("#answers > li").nth(9).wait_for()
        still = Image.open(io.BytesIO(sharp.screenshot()))

        def shoot(milliseconds: int) -> None:
            page.wait_for_timeout(600)  # the list follows, and is painted
            frames.append((Image.open(io.BytesIO(page.screenshot())), milliseconds))

        use(page, shoot)
        browser.close()
    colours = [frame.convert("RGB").quantize(160, dither=Image.Dither.NONE) for frame, _ in frames]
    OUTPUT.parent.mkdir(exist_ok=True)
    colours[0].save(
        OUTPUT,
        save_all=True,
        append_images=colours[1:],
        duration=[milliseconds for _, milliseconds in frames],
        loop=0,
        optimize=True,
    )
    print(f"{OUTPUT.relative_to(ROOT)}: {len(frames)} frames, {OUTPUT.stat().st_size / 1e6:.2f} MB")
    into_notebook(*LIVE, still, LIVE_ALT)
    into_notebook(*PICKER, Image.open(ROOT / "runs" / "browser" / "picker.png"), PICKER_ALT)


def into_notebook(name: str, identity: str, image: Image.Image, alt: str) -> None:
    """Make a picture of twice the pixels the output of a notebook's cell, until it is run."""
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    content = io.BytesIO()
    few = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(content, "png", optimize=True)
    (cell,) = (cell for cell in notebook["cells"] if cell["id"] == identity)
    picture = {
        "data": {"image/png": base64.b64encode(content.getvalue()).decode(), "text/plain": [alt]},
        "metadata": {"image/png": {"alt": alt, "width": image.width // 2}},
        "output_type": "display_data",
    }
    cell["outputs"] = [picture]
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def use(page: Page, shoot) -> None:
    """What the picture shows: a film is added, a reason asked for, another model chosen."""
    shoot(2500)
    find = page.get_by_role("combobox")
    for text in ("al", "alie", "alien"):
        find.fill(text)
        shoot(450)
    find.press("Enter")
    shoot(2500)
    page.locator("#answers > li").first.get_by_role("button").first.click()
    page.wait_for_timeout(1500)
    shoot(3500)
    page.locator("#answers > li").first.get_by_role("button").first.click()
    for model in ("BERT4Rec", "Counting", "Mixed"):
        page.locator("label", has_text=model).first.click()
        shoot(1500)


if __name__ == "__main__":
    main()
