"""The witness itself: a page that misbehaves is seen to, so that a quiet page means something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.browser import Chromium, chromium  # noqa: F401


@pytest.mark.parametrize(
    ("body", "sort"),
    [
        ("<script>window.x = 1</script>", "scripts"),
        ("<p onmouseover='window.x = 1'>x</p>", "scripts"),
        ("<details ontoggle='window.x = 1'><summary>x</summary>y</details>", "scripts"),
        ("<svg onload='window.x = 1'></svg>", "scripts"),
        ("<iframe src='javascript:window.x = 1'></iframe>", "scripts"),
        ("<img src='https://elsewhere.example/x.png'>", "requests"),
        ("<p style='background: url(//elsewhere.example/x.png)'>x</p>", "requests"),
        ("<style>@import 'https://elsewhere.example/x.css';</style>", "requests"),
        ("<link rel=stylesheet href=other.css>", "requests"),
        ("<meta http-equiv=refresh content='0; url=https://elsewhere.example/'>", "requests"),
        ("<script>alert(1)</script>", "dialogs"),
        ("<script>open('about:blank')</script>", "opened"),
    ],
)
def test_misdeeds_are_seen(chromium: Chromium, tmp_path: Path, body: str, sort: str) -> None:  # noqa: F811
    (tmp_path / "page.html").write_text(f"<!doctype html><title>x</title>{body}", "utf-8")
    with chromium.open(tmp_path / "page.html") as shown:
        shown.poke()
        shown.page.wait_for_timeout(50)
        assert shown.misdeeds.get(sort)
        assert not shown.quiet


def test_a_plain_page_is_quiet(chromium: Chromium, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "page.html").write_text(
        "<!doctype html><html lang=en><title>x</title><main><h1>&lt;script&gt;</h1><svg viewBox='0 0 1 1'></svg></main>",
        "utf-8",
    )
    with chromium.open(tmp_path / "page.html", policy=True, dark=True, width=390) as shown:
        shown.poke()
        assert shown.text.strip() == "<script>"
        assert shown.overflow == 0
        assert shown.quiet, shown.misdeeds
    with chromium.open(tmp_path / "page.html") as shown:
        assert [one for one in shown.axe() if "svg" not in one] == []


def test_the_checker_objects(chromium: Chromium, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "page.html").write_text("<p style='color: #ccc; background: #fff'>pale</p>", "utf-8")
    with chromium.open(tmp_path / "page.html") as shown:
        found = " ".join(shown.axe())
    assert "color-contrast" in found
    assert "html-has-lang" in found
