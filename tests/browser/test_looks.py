"""Every page as a person sees it: nothing cut off or on top of another, on a phone and on a large screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SLOW, Server, Watch, drawn, go, serving, views
from looks import misplaced, unreadable

import workbench as wb
from workbench.gui import navigation

pytestmark = pytest.mark.browser


def test_nothing_is_cut_off_on_a_large_screen(page, server: Server):
    """At 390 and 1280 px the pages are looked at where they are photographed."""
    page.set_viewport_size({"width": 1920, "height": 900})
    found = []
    for name, path in views(server).items():
        go(page, path)
        drawn(page)
        found += [f"{name}: {fault}" for fault in misplaced(page)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", ["/time-series", "/sql", "/pipelines?pipeline=nightly"])
def test_the_keyboard_reaches_the_main_action_and_shows_where_it_is(page, server: Server, path: str):
    views(server)
    go(page, path)
    page.get_by_role("button", name=re.compile("^(Start|Run)$")).first.wait_for()
    drawn(page)
    for _ in range(120):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.innerText, s.boxShadow !== 'none' || s.outlineStyle !== 'none'] }"
        )
        if at[0] in ("Start", "Run"):
            break
    assert at == [at[0], True]
    assert at[0] in ("Start", "Run")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A workbench with nothing in it."""
    with serving(tmp_path_factory.mktemp("bare"), worker=False) as started:
        yield started


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_an_empty_store_can_be_read(browser, bare: Server, scheme: str):
    assert not wb.open(bare.store).runs()
    context = browser.new_context(
        base_url=bare.address, viewport={"width": 390, "height": 900}, color_scheme=scheme
    )
    context.set_default_timeout(SLOW)
    watch, page, found = Watch(context, bare.address), context.new_page(), []
    for path in sorted((Path(navigation.__file__).parents[2] / "pages").glob("*.py")):
        name = path.stem
        go(page, "/" if name == "home" else navigation.address(name))
        drawn(page)
        assert page.locator("h1").count() == 1, name
        found += [f"{name}: {fault}" for fault in misplaced(page)]
        found += [f"{name}: {fault}" for fault in unreadable(page)]
    context.close()
    assert not found + watch.faults, "\n".join(found + watch.faults)
