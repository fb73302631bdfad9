"""The pages in a real browser: they open, filter and copy without an error, by keyboard and on a phone, in light and dark."""

import os
from itertools import pairwise
from pathlib import Path

import browser
import pages
import pytest

pytestmark = pytest.mark.skipif(
    browser.find() is None, reason="no Chromium on this machine: apt-get install chromium"
)

AXE = os.environ.get("AXE_CORE", "")
"""The path of axe.min.js, of the package axe-core of npm."""

NAMES = ["fail", "pass", "report", "explanation", "campaign"]

LOOKS = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])

CONTRAST = """(() => {
  const parts = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = parts(c).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (parts(c).length < 4 || parts(c)[3] > 0) return c; } return "rgb(255, 255, 255)"; };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, s = getComputedStyle(e);
    if (!walk.currentNode.data.trim() || s.display === "none" || !e.getClientRects().length || e.matches("script, style")) continue;
    const ink = e.closest("svg") ? s.fill : s.color;
    const [a, b] = [light(ink), light(back(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) low.push(e.outerHTML.slice(0, 80));
  }
  return low; })()"""

OVER = """[...document.querySelectorAll(".wide svg g")].flatMap(g => {
  const box = g.querySelector("rect").getBoundingClientRect();
  return [...g.querySelectorAll("text")].filter(t => { const r = t.getBoundingClientRect();
    return r.left < box.left + 1 || r.right > box.right - 1 || r.top < box.top || r.bottom > box.bottom; }).map(t => t.textContent); })"""

UNNAMED = """[...document.querySelectorAll("button, input, select, [role=img], [role=group], section")].filter(e =>
  !(e.getAttribute("aria-label") || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent.trim()
    || e.labels?.length || (e.matches("button") && e.textContent.trim()))).map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "fail": pages.html_page(pages.failing()),
        "pass": pages.html_page(pages.passing()),
        "report": pages.report().to_html(),
        "explanation": pages.explanation().to_html(),
        "campaign": pages.campaign(),
    }
    return {name: pages.write(folder, name, text) for name, text in made.items()}


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.Browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _without_errors(tab):
    tab.messages.clear()
    tab.requested.clear()
    yield
    assert tab.messages == []
    assert all(url.startswith("file:") for url in tab.requested)


def shown(tab, what):
    return tab.run(f"[...document.querySelectorAll('{what}')].filter(e => e.getClientRects().length).length")


def test_it_filters_by_words_and_by_verdict_and_says_how_many_are_left(tab, files):
    tab.open(files["fail"])
    assert tab.run("document.title").startswith("Failed: 3 of 8 entries")
    assert shown(tab, "#entries tbody tr") == 8
    assert shown(tab, "#failures article") == 3
    tab.run("document.getElementById('words').focus()")
    tab.type("softplus gra")
    tab.wait("document.getElementById('shown').textContent.startsWith('0 of 8 entries, 1 of 3')")
    tab.run("words.value = 'softplus'; words.dispatchEvent(new Event('input'))")
    tab.wait("document.getElementById('shown').textContent.startsWith('1 of 8 entries')")
    assert shown(tab, "#entries tbody tr") == 1
    assert shown(tab, "#entries .part") == 1
    for kind, rows, articles in (("f", 3, 3), ("w", 3, 0), ("r", 2, 0), ("", 8, 3)):
        tab.run(f"words.value = ''; which.value = '{kind}'; which.dispatchEvent(new Event('change'))")
        assert (shown(tab, "#entries tbody tr"), shown(tab, "#failures article")) == (rows, articles)


def test_a_campaign_is_filtered_too(tab, files):
    tab.open(files["campaign"])
    for kind, rows, articles in (("f", 4, 4), ("w", 2, 0), ("r", 1, 0), ("", 7, 4)):
        tab.run(f"which.value = '{kind}'; which.dispatchEvent(new Event('change'))")
        assert (shown(tab, "#entries tbody tr"), shown(tab, "#failures article")) == (rows, articles)
    tab.run("words.value = 'marked HUNG'; words.dispatchEvent(new Event('input'))")
    tab.wait("document.getElementById('shown').textContent.startsWith('0 of 7 checks, 1 of 4')")
    tab.run("words.value = 'mine:hangs'; words.dispatchEvent(new Event('input'))")
    tab.wait("document.getElementById('shown').textContent.startsWith('1 of 7 checks, 1 of 4')")


def test_a_graph_keeps_its_size_on_a_phone_and_scrolls_by_keyboard(tab, files):
    tab.open(files["explanation"], 390, 844)
    graph = "document.querySelector('.wide .scroll')"
    natural = tab.run(f"+{graph}.querySelector('svg').getAttribute('width')")
    assert tab.run(f"{graph}.querySelector('svg').getBoundingClientRect().width") == natural > 358
    tab.run(f"{graph}.focus()")
    tab.press("ArrowRight")
    tab.wait(f"{graph}.scrollLeft > 0")


def test_a_long_name_hides_no_verdict_on_a_phone(tab, files):
    tab.open(files["campaign"], 390, 844)
    ends = "Math.max(...[...document.querySelectorAll('#entries tbody td:nth-child(2)')].map(e => e.getBoundingClientRect().right))"
    assert 100 < tab.run(ends) < 390


@pytest.mark.parametrize("name", ["campaign", "explanation", "fail", "report"])
def test_the_words_in_a_picture_can_be_read_on_a_phone(tab, files, name):
    tab.open(files[name], 390, 844)
    sizes = """[...document.querySelectorAll("figure svg[role=img] text")].map(t => { const svg = t.closest("svg");
      return parseFloat(getComputedStyle(t).fontSize) * svg.getBoundingClientRect().width / svg.getAttribute("width"); })"""
    found = tab.run(sizes)
    assert len(found) > 10
    assert min(found) > 9.5


def test_no_text_of_a_graph_leaves_its_box(tab, files):
    tab.open(files["explanation"])
    over = tab.run(OVER)
    assert over == []
    tab.run("document.querySelector('.o-name').textContent += ' and much more that has no room there'")
    assert len(tab.run(OVER)) == 1


def test_it_copies_a_snippet_by_keyboard_and_says_so(tab, files):
    tab.open(files["fail"])
    tab.run("window.kept = []; navigator.clipboard.writeText = async text => { window.kept.push(text); }")
    tab.run(
        "window.labels = []; window.button = document.querySelector('button[data-copy]'); button.focus();"
        "new MutationObserver(() => labels.push(button.textContent)).observe(button, {childList: true})"
    )
    tab.press("Enter")
    tab.wait("window.kept.length === 1")
    code = tab.run(
        "document.getElementById(document.querySelector('button[data-copy]').dataset.copy).textContent"
    )
    assert tab.run("window.kept[0]") == code
    assert code == pages.failing().failures[0][1]["snippet"]
    tab.wait("document.getElementById('status').textContent === 'Code copied'")
    assert tab.run("window.labels[0]") == "Copied"
    tab.run("navigator.clipboard.writeText = async () => { throw new Error('no right to'); }")
    tab.run("document.execCommand = () => false")
    tab.press("Enter")
    tab.wait("document.getElementById('status').textContent.startsWith('Code selected')")
    assert tab.run("getSelection().toString()").split() == code.split()


def test_the_keyboard_reaches_everything_and_shows_where_it_is(tab, files):
    tab.open(files["fail"])
    seen = []
    for _ in range(40):
        tab.press("Tab")
        seen.append(tab.run("document.activeElement.tagName + '.' + document.activeElement.className"))
        if seen[-1] != "BODY.":
            assert tab.run("getComputedStyle(document.activeElement).outlineStyle") != "none", seen[-1]
    assert seen[0] == "A.skip"
    assert {"INPUT.", "SELECT.", "BUTTON.", "DIV.scroll", "PRE.fill code", "SUMMARY."} <= set(seen)


@LOOKS
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_the_screen_and_can_be_read(tab, files, name, width, dark):
    tab.open(files[name], width, 844, dark)
    assert tab.run("document.documentElement.scrollWidth") <= width
    tab.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert tab.run(CONTRAST) == []
    assert tab.run(UNNAMED) == []
    heads = tab.run("[...document.querySelectorAll('h1, h2, h3, h4')].map(e => +e.tagName[1])")
    assert heads[0] == 1
    assert heads.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(heads))
    back = tab.run("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")


def test_low_contrast_and_a_missing_name_are_detected(tab, files):
    tab.open(files["pass"])
    tab.run("document.querySelector('h1').style.color = '#999'; document.querySelector('label').remove()")
    assert len(tab.run(CONTRAST)) == 1
    assert len(tab.run(UNNAMED)) == 1
    tab.messages.clear()  # the policy refuses no style that a script sets


def test_an_odd_name_runs_nothing_and_is_shown_as_it_is(tab, files):
    tab.open(files["fail"])
    assert tab.run("document.images.length") == 0
    assert tab.run("document.scripts.length") == 1
    assert pages.ODD in tab.run("document.querySelector('#failures').textContent")


def test_without_scripts_all_of_it_is_there(tab, files):
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(files["fail"])
    finally:
        tab.send("Emulation.setScriptExecutionDisabled", value=False)
    assert shown(tab, "#entries tbody tr") == 8
    assert shown(tab, "#tools, button") == 0


@pytest.mark.skipif(not AXE, reason="AXE_CORE names no axe.min.js: npm pack axe-core")
@LOOKS
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(tab, files, name, width, dark):
    tab.open(files[name], width, 900, dark)
    tab.run(Path(AXE).read_text(encoding="utf-8"))
    found = tab.run(
        "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html.slice(0, 90)).join(' | ')))"
    )
    assert found == []
