"""Build the live page: both shipped models, to be played with in a browser, in one file.

    python docs/make_live.py            into book/html/live.html; open it

It is bert4rec/notebook/live_model.py that makes it, which shows it in notebooks too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bert4rec.notebook.live_model import page

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "html" / "live.html"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    write(output)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")
    return 0


def write(path: Path) -> None:
    """Write the page to a file, whose folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
