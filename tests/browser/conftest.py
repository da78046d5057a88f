"""A headless Chromium, and listening pages opened in it."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listened import make_material
from typer.testing import CliRunner

from madsep.cli import app
from madsep.listening.serve import make_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ("--no-sandbox", "--autoplay-policy=no-user-gesture-required")
WAIT_MS = 60_000


class Opened:
    """A page in the browser, with its errors and requests."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(address)

    def get(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self.page.evaluate(expression)

    def wait(self, condition: str) -> None:
        """Wait until a condition in the page is true."""
        self.page.wait_for_function(condition, timeout=WAIT_MS)

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: sudo apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of three pages: with FLAC, with Opus, and with scores alone."""
    root = tmp_path_factory.mktemp("listen")
    arguments = make_material(root)
    made = {
        "flac": [*arguments, "--excerpt-s", "5", "--max-mb", "100"],
        "opus": [*arguments, "--excerpt-s", "5", "--max-mb", "4"],
        "scores": [f"MDL1={root}/scores-0"],
    }
    for name, given in made.items():
        result = CliRunner().invoke(app, ["listen", *given, "-o", str(root / name)])
        assert result.exit_code == 0, result.output
    return {name: root / name for name in made}


@pytest.fixture(scope="session")
def served(pages: dict[str, Path]) -> Iterator[str]:
    """Address at which the page with FLAC is served."""
    server = make_server(pages["flac"], 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Function that opens an address in a new window."""
    contexts = []

    def opened(address: str | Path, width: int = 1200, scheme: str = "light", has_audio: bool = True) -> Opened:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page = Opened(contexts[-1].new_page(), address if isinstance(address, str) else (address / "index.html").as_uri())
        if has_audio:
            page.wait("player.isReady || !player.track.part")
        return page

    yield opened
    for context in contexts:
        context.close()
