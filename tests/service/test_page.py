"""The page in a real browser: search, click, the drawn ranking, comparison, dark, a phone, hostile titles."""

import json
import os
import re
import shutil
import time

import pytest
from helpers.services import LIMITS, running

from lkgrag import Ranker
from lkgrag.service.holder import Holder
from lkgrag.service.served import Served
from lkgrag.service.state import Service

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
#: Titles that would do harm if a page took them for more than text.
HOSTILE = (
    '<img src=x onerror="document.title=1"><script>document.title=2</script>',
    "\u202eevil\u202c שלום \u2067abc",
    "W" * 900,
    "a\"b'c</title>&lt;&amp;\n\x1b[31m",
)


@pytest.fixture(scope="module")
def url(small_run):
    """A service with a language model, of a shop with some hostile titles."""
    ranker = Ranker.from_pretrained(small_run[1]["out"], lm="always")
    ranker.context.catalogue.titles[:4] = HOSTILE
    # The words of paths have the names of the graph.
    ranker.context.data["item"].name = [*HOSTILE, *list(ranker.context.data["item"].name)[4:]]
    service = Service(Holder(Served.of(ranker, "a digest")), LIMITS, name="shop")
    with running(service) as url:
        yield url
    service.close()


@pytest.fixture(scope="module")
def hostile(small_run):
    """Ids of the items with hostile titles."""
    ranker = Ranker.from_pretrained(small_run[1]["out"], lm="never")
    return ranker.context.catalogue.ids[: len(HOSTILE)]


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if BROWSER is None:
        pytest.skip("needs a browser: install chromium")
    with api.sync_playwright() as started:
        # In a container the browser's own sandbox has no namespace.
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, url):
    """Opens the page; in the end nothing was told on the console, and nothing asked for elsewhere."""
    told, elsewhere, contexts = [], [], []

    def open_it(width=1280, height=900, path="/", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda r: r.url.startswith(url) or elsewhere.append(r.url))
        page.goto(url + path)
        return page

    open_it.told = told
    yield open_it
    for context in contexts:
        context.close()
    assert told == []
    assert elsewhere == []


def is_within(page):
    """Whether nothing has to be scrolled sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def until(page, condition):
    """Wait for a condition; the page's policy forbids playwright's own way, which evaluates a text."""
    end = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def add(page, words, option=0):
    """Search, and choose a title by the keyboard."""
    page.fill("#search", words)
    page.wait_for_selector("#found [role=option]")
    for _ in range(option):
        page.press("#search", "ArrowDown")
    page.press("#search", "Enter")


def test_a_history_is_built_and_its_ranking_is_drawn(opened):
    page = opened()
    page.wait_for_selector(".item")
    assert "someone new" in page.inner_text("#status")
    page.fill("#search", "THING 1")
    page.wait_for_selector("#found [role=option]")
    assert page.get_attribute("#search", "aria-expanded") == "true"
    assert page.get_attribute("#search", "aria-activedescendant") == "found-0"
    page.press("#search", "ArrowDown")
    assert page.get_attribute("#search", "aria-activedescendant") == "found-1"
    page.press("#search", "Escape")
    assert page.locator("#found").is_hidden()
    page.fill("#search", "thing 1")
    page.locator("#found [role=option]").first.click()
    add(page, "thing 2", 2)
    # A straight line has no height, so a browser calls it hidden.
    page.wait_for_selector("#drawing svg .edge", state="attached")
    assert page.locator("#history li").count() == 2
    assert page.locator(".item").count() == 10
    assert page.locator("#drawing svg .end").count() == 5
    until(page, "document.querySelector('#status').textContent.includes('this history')")
    # One that is chosen stands out, in the list and in the picture.
    page.locator(".choose").nth(1).click()
    assert page.locator(".choose").nth(1).get_attribute("aria-pressed") == "true"
    assert page.locator("#drawing .end.lit").count() == 1
    page.locator(".add").first.click()
    page.wait_for_selector("#history li:nth-child(3)")
    page.locator("#history button").first.click()
    until(page, "document.querySelectorAll('#history li').length === 2")
    page.click("#clear")
    until(page, "document.querySelector('#status').textContent.includes('someone new')")


def test_bars_of_better_items_reach_further_to_the_right(opened):
    """The retriever's scores are all below 0: longer bars for worse items would say the opposite."""
    page = opened()
    page.wait_for_selector(".item")
    rows = page.evaluate(
        """[...document.querySelectorAll('.item')].map(item =>
        [...item.querySelectorAll('.bars rect:not(.axis)')].map(bar =>
        [+bar.getAttribute('x'), +bar.getAttribute('width')]))"""
    )
    reach = [sum(width if x >= 0 else -width for x, width in row) for row in rows]
    assert len(reach) == 10
    assert reach[0] > 0 > reach[-1]
    assert max(reach) == reach[0]


def test_users_and_words_are_asked_for(opened):
    page = opened()
    page.wait_for_selector(".item")
    page.fill("#user", "u3")
    page.wait_for_selector("#history li.fixed")
    assert "user u3" in page.inner_text("#status")
    page.fill("#user", "nobody")
    page.wait_for_selector("#status.error")
    assert "no such user" in page.inner_text("#status")
    # The browser itself tells of a refusal.
    (line,) = opened.told
    assert "status of 400" in line
    opened.told.clear()
    page.fill("#user", "")
    page.fill("#request", "thing 7")
    page.wait_for_selector(".asked")
    assert page.locator("#weigh").is_visible()
    page.select_option("#k", "5")
    until(page, "document.querySelectorAll('.item').length === 5")


def test_rankings_with_and_without_language_model_stand_side_by_side(opened):
    page = opened(390, 844)
    add(page, "thing 12")
    page.wait_for_selector(".item")
    page.locator("label.switch").click()
    page.wait_for_selector("#columns.two")
    left, right = (page.locator(".column").nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert [page.locator(".column h2").nth(n).inner_text() for n in (0, 1)] == [
        "With language model",
        "Without",
    ]
    assert "the language model changes" in page.inner_text("#status")
    assert page.locator(".move").count() == 20
    page.locator(".column").nth(1).locator(".choose").first.click()
    assert page.locator(".column").nth(1).locator(".item.lit .why").is_visible()
    assert is_within(page)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_has_to_be_scrolled_sideways(opened, hostile, width):
    page = opened(width, 800)
    page.wait_for_selector(".item")
    for words in hostile:
        add(page, words)
    until(page, "document.querySelectorAll('#history li').length === 4")
    until(page, "document.querySelector('#status').textContent.includes('this history')")
    page.fill("#search", "w")
    page.wait_for_selector("#found li")
    assert is_within(page)
    docs = opened(width, 800, "/docs")
    docs.wait_for_selector("article")
    assert is_within(docs)


def test_hostile_titles_are_only_text(opened, hostile):
    page = opened()
    page.wait_for_selector(".item")
    title = page.title()
    for words in hostile:
        add(page, words)
    until(page, "document.querySelectorAll('#history li').length === 4")
    until(page, "document.querySelector('#status').textContent.includes('this history')")
    page.wait_for_timeout(300)
    assert page.title() == title
    assert page.locator("main img, main script").count() == 0
    chips = page.locator("#history .title").all_inner_texts()
    assert chips[0].startswith("<img src=x")
    assert "\u202e" not in page.content()
    assert page.locator("#history bdi").count() == 4
    assert chips[2].startswith("WWW")
    assert page.locator("#history li").nth(2).bounding_box()["height"] < 120
    # Alone in the history, a title is also in the picture and in the words of paths.
    page.click("#clear")
    add(page, hostile[0])
    page.locator("#drawing svg text", has_text="<img").first.wait_for()
    page.locator(".words", has_text="<img").first.wait_for()
    assert page.title() == title


def luminance(page, selector):
    colour = page.evaluate(
        "s => getComputedStyle(document.querySelector(s)).backgroundColor", selector
    )
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_light_and_dark_follow_the_system_until_they_are_chosen(opened):
    light, dark = opened(color_scheme="light"), opened(color_scheme="dark")
    assert luminance(light, "body") > 200 > 60 > luminance(dark, "body")
    dark.click("#theme")
    assert luminance(dark, "body") > 200
    dark.reload()
    assert luminance(dark, "body") > 200
    dark.click("#theme")
    assert luminance(dark, "body") < 60


def test_every_control_has_a_name_and_is_reached_by_the_keyboard(opened):
    page = opened()
    add(page, "thing 12")
    page.wait_for_selector("#history button")
    page.wait_for_selector(".add")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, a')].filter((e) => e.offsetParent !== null
        && !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    page.focus("#search")
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"request", "user", "k", "compare", "clear", "choose"} <= seen
    page.locator(".choose").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".choose").first.get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.className") == "choose"


def test_the_page_of_the_api_is_drawn_and_asks(opened):
    page = opened(path="/docs")
    page.wait_for_selector("article")
    text = page.inner_text("main")
    for part in ("/recommend/batch", "at most 30 elements", "give", "Error"):
        assert part in text
    page.locator("summary", has_text="Try").first.click()
    page.locator("button", has_text="Send").first.click()
    page.wait_for_selector("pre:visible")
    until(page, "document.querySelector('pre').textContent.startsWith('200')")
    answer = page.locator("pre").first.inner_text()
    assert json.loads(answer.split("\n", 1)[1])["format"] == 1


def test_a_token_is_asked_for_once(browser, small_run):
    ranker = Ranker.from_pretrained(small_run[1]["out"], lm="never")
    service = Service(Holder(Served.of(ranker)), LIMITS, token="the-token-of-this-test")
    with running(service) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("#unlock:not([hidden])")
        assert page.locator(".item").count() == 0
        page.fill("#token", "the-token-of-this-test")
        page.keyboard.press("Enter")
        page.wait_for_selector(".item")
        assert page.locator("#unlock").is_hidden()
        # Without a language model there is nothing to compare.
        assert page.locator("#compare").is_disabled()
        context.close()
    service.close()


@pytest.mark.skipif(not os.environ.get("LKGRAG_SHOTS"), reason="LKGRAG_SHOTS names no folder")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pictures_to_look_at(opened, hostile, scheme, width):
    page = opened(width, 850, color_scheme=scheme)
    for words in (*hostile[:3], "thing 5"):
        add(page, words)
    page.wait_for_selector("#history li:nth-child(4)")
    page.wait_for_timeout(1000)
    folder = os.environ["LKGRAG_SHOTS"]
    assert page.screenshot(path=f"{folder}/page-{width}-{scheme}.png", full_page=True)
