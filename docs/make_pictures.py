"""Make the pictures of README: `python docs/make_pictures.py DEMO`, DEMO being the folder of `make demo`.

The report's picture is its page as Chromium shows it; the other one is drawn by the command that README names.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

PICTURES = Path(__file__).parent / "pictures"
WATERFALL = "plan --recipe best --versus notebook --gpu T4"
"""The command that draws the waterfall, without its `--plot`."""
_WIDTH, _HEIGHT = 1100, 1500


def picture_of_a_page(page: Path, picture: Path) -> None:
    """The beginning of an HTML page as a desktop shows it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        shown.goto(page.resolve().as_uri())
        shown.screenshot(path=picture)
        browser.close()


def main() -> None:
    """Make both."""
    if len(sys.argv) != 2:
        raise SystemExit("Name the folder of a demo: python docs/make_pictures.py demo")
    PICTURES.mkdir(exist_ok=True)
    picture_of_a_page(Path(sys.argv[1]) / "run" / "report.html", PICTURES / "report.png")
    drawn = [*shlex.split(WATERFALL), "--plot", str(PICTURES / "waterfall.png")]
    subprocess.run([sys.executable, "-m", "lexitrain", *drawn], check=True)


if __name__ == "__main__":
    main()
