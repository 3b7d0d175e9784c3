"""What a reader meets: JupyterLab, opened as `make lab` does, in a real browser.

It needs Playwright and a Chromium (Debian: apt install chromium). Screenshots are kept in
runs/browser/. The notebooks run in a copy of the repository: JupyterLab saves by itself.
"""

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from helpers import CHROMIUM, SHOTS
from mutations import copy_of_the_repository

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path")

# a cell is marked as waiting or as run
BEGUN = r"""() => [...document.querySelectorAll('.jp-InputPrompt')]
    .some(prompt => /\[(\*|\d+)\]/.test(prompt.textContent))"""
PATIENCE = 600  # seconds for a notebook, beside busy neighbours too


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of JupyterLab, and the folder it runs in."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("lab"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = subprocess.run(
        ["make", "-n", "lab"], cwd=folder, check=True, capture_output=True, text=True
    )
    (line,) = (line for line in made.stdout.splitlines() if "bin/jupyter lab " in line)
    command = shlex.split(line)
    command[0] = str(Path(sys.executable).parent / "jupyter")
    command += ["--no-browser", f"--port={port}", "--ServerApp.token=", "--allow-root"]
    variables = os.environ | {"PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": ""}
    # what is open, and how it looks, is a new reader's, and the tester's own stays as it is
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR"):
        variables[name] = str(folder / ".jupyter")
    log = (folder / "jupyter.log").open("w")
    server = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(480):
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=5).read()
                break
            except OSError:
                time.sleep(0.5)
        yield address, folder
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def run_all(page, address: str, path: Path) -> None:
    """Choose Run > Run All Cells, wait for the end, save; nothing may have failed."""
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=240_000)
    page.wait_for_selector(
        '.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached", timeout=240_000
    )
    for _ in range(20):  # what is chosen while the kernel is still being connected is lost
        page.locator(".lm-MenuBar-item", has_text="Run").first.click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        try:
            page.wait_for_function(BEGUN, timeout=4_000)
            break
        except sync_api.TimeoutError:
            page.keyboard.press("Escape")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page.wait_for_timeout(400)
        if page.get_by_text("[*]:").count() or not is_idle(address):
            continue
        page.keyboard.press("Control+s")
        page.wait_for_timeout(600)
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert not [o for cell in code for o in cell["outputs"] if o["output_type"] == "error"]
        if newly_run(code):
            return
    raise AssertionError(f"{path.name} was not done within {PATIENCE} s")


def answer(dialog) -> None:
    print("JupyterLab asked:", " ".join(dialog.inner_text().split()))
    buttons = dialog.locator(".jp-mod-accept:not(.jp-mod-warn)")
    buttons.first.click() if buttons.count() else dialog.press("Escape")


def is_idle(address: str) -> bool:
    with urllib.request.urlopen(f"{address}/api/kernels", timeout=10) as answer:
        kernels = json.load(answer)
    return bool(kernels) and all(kernel["execution_state"] == "idle" for kernel in kernels)


def newly_run(code: list[dict]) -> bool:
    """Whether all cells ran in one go: also those that only a reader starts are counted."""
    counts = [cell["execution_count"] for cell in code]
    return None not in counts and counts == list(range(counts[0], counts[0] + len(counts)))


def test_the_first_notebook_runs_from_the_menu_and_the_picker_in_it(lab, chromium):
    """The picker stands on top: in notebook 6 a model would have to be trained for it first."""
    address, folder = lab
    path = folder / "notebooks" / "00_start_here.ipynb"
    put_picker_into(path)
    page = chromium.new_page(viewport={"width": 1300, "height": 1000}, device_scale_factor=2)
    page.set_default_timeout(240_000)
    # a dialog opens when it likes, as of a kernel that starts late: its default is taken
    page.add_locator_handler(page.locator(".jp-Dialog").first, answer, no_wait_after=True)
    page.goto(address)  # what `make lab` opens by itself is notebook 0
    page.wait_for_selector(f'.lm-TabBar-tabLabel:has-text("{path.name}")', timeout=240_000)
    run_all(page, address, path)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "00_start_here-end.png")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Home")
    page.wait_for_timeout(300)
    page.screenshot(path=SHOTS / "00_start_here.png")
    use_the_picker(page)
    page.close()


def put_picker_into(path: Path) -> None:
    """Put the picker's cell above all others, and take outputs away: they shall be made here."""
    notebook, other = (
        json.loads(each.read_text(encoding="utf-8"))
        for each in (path, path.with_name("06_recommend.ipynb"))
    )
    (cell,) = (c for c in other["cells"] if "".join(c["source"]).startswith("picker(shipped"))
    before = "from bert4rec import Recommender\nfrom bert4rec.notebook import picker\n"
    before += 'shipped = Recommender.load("ml-1m", blend=False)\n'
    cell["source"] = [before, *cell["source"]]
    notebook["cells"].insert(0, cell)
    for each in notebook["cells"]:
        if each["cell_type"] == "code":
            each.update(outputs=[], execution_count=None)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def use_the_picker(page) -> None:
    """Add a title to the history: the list of recommendations must follow."""
    box = page.locator(".jupyter-widgets.widget-vbox").first
    page.set_viewport_size({"width": 1300, "height": 1500})  # room for all of it
    box.scroll_into_view_if_needed()
    answer = box.locator(".bert4rec-answer")
    before = answer.inner_text()
    find = page.get_by_placeholder("type a title")
    tag = box.locator(".jupyter-widget-tag", has_text="Alien (1979)")
    for _ in range(4):  # a key that is pressed while JupyterLab lays the page out anew is lost
        page.wait_for_timeout(1000)
        find.fill("")
        find.fill("alien (19")
        find.press("Enter")
        with contextlib.suppress(sync_api.TimeoutError):
            tag.wait_for(timeout=15_000)
            break
    tag.wait_for(timeout=15_000)
    page.wait_for_function(
        "before => document.querySelector('.bert4rec-answer').innerText !== before",
        arg=before,
        timeout=20_000,
    )
    picture = box.locator("img")
    picture.scroll_into_view_if_needed()
    page.wait_for_timeout(700)  # the picture follows, and is painted
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth > 400)")
    right = answer.bounding_box()["x"] + answer.bounding_box()["width"]
    assert picture.bounding_box()["x"] >= right - 1, "the reasons stand beside the list"
    box.screenshot(path=SHOTS / "picker.png")  # what notebook 6 shows where none runs
    assert "Alien (1979)" not in answer.inner_text()
