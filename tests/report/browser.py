"""A real Chromium that opens our pages as a customer's would, and tells what they did there.

    def test_page(chromium: Chromium, tmp_path: Path) -> None:
        with chromium.open(tmp_path / "report.html") as shown:
            assert shown.quiet, shown.misdeeds

Take the fixture with `from tests.report.browser import chromium  # noqa: F401`. It skips, with the reason, where there is no
Chromium (`apt-get install chromium`, or name one in MIGRATOR_CHROMIUM) or no Playwright (extra `browser`).

What counts as script is what the JavaScript engine itself says that it parsed in the page's own world, so an inline
handler or a `javascript:` link counts as much as a <script>. The page's Content-Security-Policy is switched off unless
`policy=True`: escaping must hold alone, the policy is the second lock.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

DESKTOP, PHONE = 1280, 390
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


@dataclass
class Shown:
    """One page as shown. `page` is Playwright's, for all other questions."""

    page: Any
    requests: list[str] = field(default_factory=list)  # everything asked for but the page itself
    scripts: list[str] = field(default_factory=list)  # source text of what the page brought to run
    dialogs: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)  # also refusals by the policy
    errors: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)  # further windows, and downloads

    @property
    def misdeeds(self) -> dict[str, list[str]]:
        """What a report must never do, by sort; empty lists are left out."""
        return {
            name: found
            for name, found in (
                ("requests", self.requests),
                ("scripts", self.scripts),
                ("dialogs", self.dialogs),
                ("console", self.console),
                ("errors", self.errors),
                ("opened", self.opened),
            )
            if found
        }

    @property
    def quiet(self) -> bool:
        """No script, no request, no dialog, no window, no complaint."""
        return not self.misdeeds

    def poke(self) -> None:
        """What a curious reader does: unfold everything, point at and focus every element, so that handlers would run."""
        self.page.locator("body").evaluate(
            """body => {
                for (const one of body.querySelectorAll("details")) one.open = true;
                for (const one of body.querySelectorAll("*"))
                    for (const name of ["mouseover", "mouseenter", "focus", "click", "error", "load", "toggle"])
                        if (name !== "click" || !one.closest("a")) one.dispatchEvent(new Event(name, {bubbles: false}));
            }"""
        )

    @property
    def text(self) -> str:
        """All text, also what is folded up."""
        return str(self.page.locator("body").evaluate("body => body.textContent"))

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than its window: above 0 a reader must scroll sideways."""
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    def axe(self) -> list[str]:
        """What the accessibility checker (axe-core) objects to: "rule: what; where"."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe (extra `browser`)")
        found = axe.Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['help']}; " + ", ".join(str(node["target"]) for node in one["nodes"][:5])
            for one in found
        ]


class Chromium:
    """The browser; one for all tests of a process."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @contextmanager
    def open(
        self,
        path: Path,
        *,
        width: int = DESKTOP,
        height: int = 900,
        dark: bool = False,
        paper: bool = False,
        policy: bool = False,
    ) -> Iterator[Shown]:
        """Open a file as from a mail's attachment. Nothing reaches a network: a request is recorded and refused.

        paper: as it would be printed. policy: leave the page's Content-Security-Policy on.
        """
        scheme: Literal["dark", "light"] = "dark" if dark else "light"
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=not policy
        )
        page = context.new_page()
        shown = Shown(page)
        address = path.resolve().as_uri()
        engine = context.new_cdp_session(page)
        worlds: dict[int, str] = {}  # the pages' own, without the driver's → their frame
        main = engine.send("Page.getFrameTree")["frameTree"]["frame"]["id"]

        def created(said: dict[str, Any]) -> None:
            about = said["context"].get("auxData", {})
            if about.get("isDefault"):
                worlds[said["context"]["id"]] = about.get("frameId", "")

        engine.on("Runtime.executionContextCreated", created)
        stage = "loading"

        def parsed(said: dict[str, Any]) -> None:
            # Once it is loaded, a script without an address is a question of our own; a page's bears the page's address,
            # and we ask no frame in it anything.
            frame = worlds.get(said["executionContextId"])
            ours = stage == "loaded" and not said.get("url") and frame == main
            if stage != "closing" and frame is not None and not ours:
                source = engine.send("Debugger.getScriptSource", {"scriptId": said["scriptId"]})
                shown.scripts.append(source["scriptSource"][:500])

        def route(asked: Any) -> None:
            if asked.request.url == address:
                asked.continue_()
            else:
                asked.abort()

        def dialog(said: Any) -> None:
            shown.dialogs.append(said.message)
            said.dismiss()

        engine.on("Debugger.scriptParsed", parsed)
        engine.send("Runtime.enable")
        engine.send("Debugger.enable")
        context.route("**/*", route)
        page.on("request", lambda one: shown.requests.append(one.url) if one.url != address else None)
        page.on("dialog", dialog)
        page.on("console", lambda said: shown.console.append(said.text))
        page.on("pageerror", lambda error: shown.errors.append(str(error)))
        page.on("popup", lambda other: shown.opened.append(other.url))
        page.on("download", lambda one: shown.opened.append(one.url))
        try:
            page.goto(address, wait_until="load")
            if paper:  # not before: it does not survive the way to another address
                page.emulate_media(media="print", color_scheme=scheme)
            engine.send("Runtime.getIsolateId")  # what it has said until now has arrived with this
            stage = "loaded"
            yield shown
        finally:
            stage = "closing"
            context.close()


def find_chromium() -> str | None:
    named = os.environ.get("MIGRATOR_CHROMIUM")
    return named or next((found for found in map(shutil.which, _NAMES) if found), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """A headless Chromium, or a skip. It ends with its module: Playwright keeps an event loop running in this thread, beside
    which no other test could have one."""
    driver = pytest.importorskip("playwright.sync_api", reason="no Playwright (extra `browser`)")
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium, or set MIGRATOR_CHROMIUM)")
    with driver.sync_playwright() as playwright:
        # Root, as in a container, has no sandbox; what is opened here is made by the tests alone.
        arguments = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield Chromium(browser)
        finally:
            browser.close()
