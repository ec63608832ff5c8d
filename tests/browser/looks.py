"""What is wrong with the looks of an open page: words cut off or on one another, and what cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["misplaced", "unreadable"]

#: Words that their box hides, that stand beside the page, that leave their plot or lie on one another.
_MISPLACED = r"""() => {
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
    const slanted = e => /rotate\((?!0|-?90)/.test(e.getAttribute('transform'));
    texts.forEach(([e, box], i) => {
      if (box.left < frame.left - 2 || box.right > frame.right + 2) found.push('leaves its plot: ' + said(e));
      for (const [other, its] of texts.slice(i + 1)) {
        if (slanted(e) && slanted(other)) continue;  // their boxes meet where they themselves do not
        const wide = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const high = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        if (wide > 3 && high > 4) found.push(`on one another: ${said(e)} / ${said(other)}`);
      }
    });
  }
  return [...new Set(found)];
}"""


def misplaced(page: Page) -> list[str]:
    """One line for each text that is not where it can be seen."""
    found: list[str] = page.evaluate(_MISPLACED)
    return found


def unreadable(page: Page) -> list[str]:
    """WCAG 2 A and AA as axe checks them: labels, names, roles, contrast of 4.5:1; a line a fault."""
    from axe_playwright_python.sync_playwright import Axe

    answer = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa"]}).response
    assert answer["passes"], "axe looked at nothing"
    return [
        f"{fault['id']}: {node['html']}: {node['failureSummary']}"
        for fault in answer["violations"]
        for node in fault["nodes"]
    ]
