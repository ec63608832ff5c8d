"""Every page as a person sees it: nothing cut off or on top of another, on a phone and on a large screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import SLOW, Server, Watch, drawn, go, serving, settle, views

import workbench as wb
from workbench.gui import navigation

pytestmark = pytest.mark.browser

#: Words that their box hides, that stand beside the page, that leave their plot or lie on one another.
FAULTS = """() => {
  const main = document.querySelector('[data-testid=stMain]'), right = document.documentElement.clientWidth;
  const shown = e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().width > 0;
  const said = e => e.textContent.trim().slice(0, 60), found = [];
  if (main.scrollWidth > main.clientWidth) found.push(`${main.scrollWidth - main.clientWidth} px too wide`);
  for (const e of main.querySelectorAll('*')) {
    if (e.closest('svg, canvas, pre, [data-testid=stDataFrame], [data-testid=stIconMaterial]')) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !shown(e)) continue;
    const style = getComputedStyle(e);
    if (style.overflow !== 'visible' && style.display !== 'inline' && e.clientWidth > 1
        && e.scrollWidth > e.clientWidth + 1) found.push('cut off: ' + said(e));
    if (e.getBoundingClientRect().right > right + 1) found.push('beside the page: ' + said(e));
  }
  const words = '.legendtext, .gtitle, .xtitle, .ytitle, .xtick text, .ytick text, .annotation-text';
  // An icon without a word is read out by the icon's own name.
  for (const e of main.querySelectorAll('button'))
    if (/^[a-z]+(_[a-z]+)* icon/.test(e.textContent.trim())) found.push('no name: ' + said(e));
  for (const plot of document.querySelectorAll('.js-plotly-plot')) {
    const frame = plot.getBoundingClientRect();
    const texts = [...plot.querySelectorAll(words)].filter(shown).map(e => [e, e.getBoundingClientRect()]);
    texts.forEach(([e, box], i) => {
      if (box.left < frame.left - 2 || box.right > frame.right + 2) found.push('leaves its plot: ' + said(e));
      for (const [other, its] of texts.slice(i + 1)) {
        const wide = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const high = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        if (wide > 3 && high > 4) found.push(`on one another: ${said(e)} / ${said(other)}`);
      }
    });
  }
  return [...new Set(found)];
}"""


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_nothing_is_cut_off(page, server: Server, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    found = []
    for name, path in views(server).items():
        go(page, path)
        drawn(page)
        found += [f"{name}: {fault}" for fault in page.evaluate(FAULTS)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", ["/time-series", "/sql", "/pipelines?pipeline=nightly"])
def test_the_keyboard_reaches_the_main_action_and_shows_where_it_is(page, server: Server, path: str):
    views(server)
    go(page, path)
    settle(page)
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
        found += [f"{name}: {fault}" for fault in page.evaluate(FAULTS)]
        answer = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response
        found += [f"{name}: {fault['id']}: {node['html']}" for fault in answer["violations"]
                  for node in fault["nodes"]]  # fmt: skip
    context.close()
    assert not found + watch.faults, "\n".join(found + watch.faults)
