"""The HTML report in a real browser: nothing runs but its own script, nothing is fetched, and everything can be used.

Needs selenium, and chromium with its driver (Debian: chromium, chromium-driver); skipped where they are missing.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytest.importorskip("selenium")
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from equiaudit.records import Audit, Tried, Verdict
from equiaudit.report.baseline import Baseline, Mark, compare
from equiaudit.report.html import write_html
from equiaudit.report.json import Record, Report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1100,900",
)  # fmt: skip
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver"),
    # sockets and pipes of the driver that are closed when they are collected
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def chrome(tmp_path_factory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chrome) -> Iterator[Any]:
    """The browser as it starts: wide, light, on screen; nothing moves while it is clicked."""
    media(chrome, prefers_reduced_motion="reduce")
    yield chrome
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chrome.get("about:blank")


def turns(verdict: Verdict = Verdict.BROKEN) -> tuple[Tried, ...]:
    error = 1e-15 if verdict is Verdict.EXACT else 1e-3
    return tuple(
        Tried("rotations y", f"SO(3).turn('y', {n}/12)", "twin", "y", error * n, 1e-12, error < 1e-12, 30.0 * n,
              sweep="rotations y")
        for n in range(1, 12)
    )  # fmt: skip


@pytest.fixture
def records(make) -> list[Record]:
    """Four audits; errors are 1e-3, 0.5, 1e-13 and none."""
    return [
        Record(make(label="leaky forces", error=1e-3, tried=turns()), nodeid="tests/test_net.py::test_forces", outcome="failed"),
        Record(make(label="pooled", error=0.5, symmetry="Symmetry(Cyclic(4), inputs='image')", layers=(), first_bad_layer=None),
               nodeid="tests/test_cnn.py::test_image"),
        Record(make(label="clean", verdict=Verdict.EXACT, error=1e-13, layers=(), first_bad_layer=None),
               nodeid="t.py::test_clean"),
        Record(make(label="empty", verdict=Verdict.INVALID, cause="not finite", error=None, floor=None), nodeid="t.py::test_nan"),
    ]  # fmt: skip


@pytest.fixture
def visit(browser, tmp_path) -> Callable[..., Any]:
    def go(source: Any, **options: Any) -> Any:
        path = tmp_path / "report.html"
        if isinstance(source, str):
            path.write_text(source, encoding="utf-8")
        else:
            write_html(source, path, **options)
        for kind in ("browser", "performance"):
            browser.get_log(kind)
        browser.get(path.as_uri())
        return browser

    return go


def complaints(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


def requested(browser: Any) -> list[str]:
    """Everything that was asked for since the page was opened, its own file left out."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    urls = [p["request"]["url"] for p in sent if p["documentURL"].endswith("/report.html")]
    return [url for url in urls if not url.endswith("/report.html")]


def rows(browser: Any) -> list[str]:
    """Names of the rows that are listed."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.summary tbody tr')].filter((r) => r.offsetParent || r.offsetHeight)"
        ".map((r) => r.querySelector('a').textContent)"
    )


def articles(browser: Any) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll('article')].filter((a) => a.offsetHeight)"
        ".map((a) => a.querySelector('h2').textContent)"
    )


def said(browser: Any) -> str:
    return browser.find_element(By.ID, "listed").text


def media(browser: Any, **features: str) -> None:
    pairs = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": pairs})


def test_nothing_is_said_on_the_console_and_nothing_is_asked_of_a_network(visit, records):
    browser = visit(records)
    assert complaints(browser) == []
    assert requested(browser) == []


def test_a_page_that_asks_for_something_or_complains_is_seen(visit):
    browser = visit("<!DOCTYPE html><img src='missing.png'><script>throw new Error('no')</script>")
    assert any("missing.png" in url for url in requested(browser))
    assert any("no" in text for text in complaints(browser))


def test_text_from_outside_runs_nothing_and_asks_for_nothing(visit, hostile_page):
    browser = visit(hostile_page)
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.images.length + document.scripts.length") == 1
    assert complaints(browser) == []
    assert requested(browser) == []
    assert "<script>window.hacked = 1</script>" in browser.find_element(By.TAG_NAME, "h1").text
    for button in browser.find_elements(By.CSS_SELECTOR, ".summary thead button, .chip"):
        button.click()
    find = browser.find_element(By.ID, "find")
    find.send_keys("<script>")
    assert browser.execute_script("return window.hacked") is None


def test_the_policy_stops_a_script_that_got_in(visit, records):
    browser = visit(records)
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 3'; document.body.append(s);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 4\">');"
    )
    time.sleep(0.1)
    assert browser.execute_script("return window.hacked") is None
    assert any("Content Security Policy" in text for text in complaints(browser))


def test_text_filters_rows_and_articles_and_says_how_many_are_left(visit, records):
    browser = visit(records)
    assert rows(browser) == articles(browser) == ["empty", "pooled", "leaky forces", "clean"]
    assert said(browser) == "4 audits"
    find = browser.find_element(By.ID, "find")
    find.send_keys("test_net FORCES")
    wait(lambda: rows(browser) == ["leaky forces"])
    assert articles(browser) == ["leaky forces"]
    assert said(browser) == "1 of 4 audits match"
    find.send_keys(Keys.CONTROL, "a")
    find.send_keys(Keys.DELETE)
    wait(lambda: len(rows(browser)) == 4)


def wait(done: Callable[[], bool], seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_verdicts_symmetries_and_changes_filter(visit, records):
    marks = {("tests/test_net.py::test_forces", "leaky forces"): Mark(Verdict.EXACT, 1e-13, 1e-12)}
    browser = visit(records, baseline=compare(Baseline(marks), records))
    assert articles(browser)[0] == "leaky forces"  # it grew
    for chip in browser.find_elements(By.CSS_SELECTOR, ".chip.broken, .chip.invalid"):
        chip.click()
    assert rows(browser) == ["clean"]
    browser.find_element(By.CSS_SELECTOR, ".chip.broken").click()
    assert rows(browser) == ["leaky forces", "pooled", "clean"]
    browser.find_element(By.CSS_SELECTOR, "#group option:nth-child(2)").click()
    assert rows(browser) == ["pooled"]
    browser.find_element(By.CSS_SELECTOR, "#group option:first-child").click()
    browser.find_element(By.CSS_SELECTOR, "#change option[value=grew]").click()
    assert rows(browser) == articles(browser) == ["leaky forces"]


def test_columns_sort_both_ways_and_a_row_without_a_number_is_last(visit, records):
    browser = visit(records)
    head = next(b for b in browser.find_elements(By.CSS_SELECTOR, ".summary thead button") if b.text == "error")
    head.click()
    assert rows(browser) == ["pooled", "leaky forces", "clean", "empty"]
    assert said(browser) == "4 audits, sorted by error, descending"
    head.click()
    assert rows(browser) == ["clean", "leaky forces", "pooled", "empty"]
    cells = browser.find_elements(By.CSS_SELECTOR, ".summary thead [aria-sort]")
    assert [c.get_attribute("aria-sort") for c in cells] == ["ascending"]


def test_everything_can_be_reached_and_used_with_the_keyboard(visit, records):
    browser = visit(records)
    names, kinds = [], []
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        now = browser.switch_to.active_element
        names.append(now.accessible_name or now.text)
        kinds.append(now.tag_name)
        ring = browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", now)
        assert ring != "none" or now.tag_name == "body", f"focus can't be seen on {names[-1]}"
    assert names[0] == "Skip to the audits"
    for name in ("Filter by name, test or layer", "Symmetry", "error", "leaky forces", "Copy the element", "invalid 1"):
        assert name in names, name
    assert "summary" in kinds
    chip = browser.find_element(By.CSS_SELECTOR, ".chip.exact")
    chip.send_keys(Keys.SPACE)
    assert "clean" not in rows(browser)
    head = browser.find_element(By.CSS_SELECTOR, ".summary thead button")
    head.send_keys(Keys.ENTER)
    assert browser.find_elements(By.CSS_SELECTOR, "[aria-sort]")


def test_a_link_opens_the_article_that_it_names_also_where_it_is_filtered_away(visit, records):
    browser = visit(records)
    link = next(a for a in browser.find_elements(By.CSS_SELECTOR, ".summary a") if a.text == "clean")
    target = link.get_attribute("hash")
    details = browser.find_element(By.CSS_SELECTOR, f"{target} details.more")
    assert details.get_attribute("open") is None
    link.click()
    wait(lambda: details.get_attribute("open") is not None)
    wait(lambda: abs(top(browser, target)) < 40)
    browser.find_element(By.CSS_SELECTOR, ".chip.broken").click()
    other = browser.execute_script("return document.querySelector('article[hidden]').id")
    browser.execute_script("location.hash = arguments[0]", other)
    wait(lambda: browser.execute_script("return !document.getElementById(arguments[0]).hidden", other))


def top(browser: Any, selector: str) -> float:
    return browser.execute_script("return document.querySelector(arguments[0]).getBoundingClientRect().top", selector)


@pytest.mark.parametrize("allowed", [True, False], ids=["clipboard", "no clipboard"])
def test_code_is_copied_as_it_is(visit, records, allowed):
    browser = visit(records)
    browser.execute_script(
        "window.copied = []; Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (t) => {"
        "if (!arguments[0]) throw new Error('not allowed'); window.copied.push(t); }}});"
        "document.execCommand = (what) => { window.copied.push(String(getSelection())); return true; };",
        allowed,
    )
    block = browser.find_element(By.CSS_SELECTOR, "article.broken .code.element")
    button = block.find_element(By.CSS_SELECTOR, ".copy")
    assert button.accessible_name == "Copy the element"
    button.click()
    wait(lambda: button.text == "copied")
    (copied,) = browser.execute_script("return window.copied")
    assert copied.strip() == block.find_element(By.TAG_NAME, "code").text


def test_dark_is_dark(visit, records):
    browser = visit(records)
    colour = "return getComputedStyle(document.querySelector(arguments[0])).backgroundColor"
    light = [browser.execute_script(colour, part) for part in ("body", "article")]
    media(browser, prefers_color_scheme="dark")
    dark = [browser.execute_script(colour, part) for part in ("body", "article")]
    assert light == ["rgb(247, 247, 244)", "rgb(255, 255, 255)"]
    assert dark == ["rgb(19, 21, 24)", "rgb(26, 29, 33)"]
    fill = browser.execute_script(
        "return getComputedStyle(document.querySelector('article .charts svg text')).fill"
    )  # figures follow
    assert fill in ("rgb(228, 229, 227)", "rgb(151, 157, 165)")


def test_motion_is_spared_where_a_reader_asks_for_it(visit, records):
    browser = visit(records)
    behaviour = "return getComputedStyle(document.documentElement).scrollBehavior"
    assert browser.execute_script(behaviour) == "auto"
    media(browser, prefers_reduced_motion="no-preference")
    assert browser.execute_script(behaviour) == "smooth"


@pytest.mark.parametrize("hostile", [False, True], ids=["plain", "hostile"])
@pytest.mark.parametrize("width", [320, 390, 760])
def test_no_width_scrolls_sideways(visit, records, hostile_page, width, hostile):
    browser = visit(hostile_page if hostile else records)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": False}
    )
    browser.execute_script(
        "for (const d of document.querySelectorAll('details')) d.open = true;"
        "for (const a of document.querySelectorAll('article')) a.style.contentVisibility = 'visible';"
    )
    wide = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.scroll, pre, svg, .sr, .skip, .ticks')).map((e) => e.tagName + '.' + e.className).slice(0, 5)"
    )
    assert wide == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_prints_what_matters_and_leaves_out_what_is_for_a_screen(visit, records):
    browser = visit(records)
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 20_000
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    hidden = "return [...document.querySelectorAll(arguments[0])].every((e) => !e.offsetHeight)"
    assert browser.execute_script(hidden, ".tools, .copy, .skip:not(:focus)")
    closed = "return document.querySelectorAll('article.broken > details:not([open])').length"
    assert browser.execute_script(closed) == 0
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(closed) > 0


def test_without_scripts_everything_is_there(visit, make):
    found = [Record(make(label=f"net {n}")) for n in range(105)]
    browser = visit(found)
    assert len(rows(browser)) == 100
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.refresh()
    shown = browser.find_elements(By.CSS_SELECTOR, ".summary tbody tr")
    assert sum(row.is_displayed() for row in shown[95:]) == 10
    assert not browser.find_element(By.CSS_SELECTOR, ".tools").is_displayed()
    with pytest.raises(NoSuchElementException):
        browser.find_element(By.CSS_SELECTOR, ".js")


def test_the_rest_of_a_late_article_is_there_when_it_comes_near(visit, make):
    name = "</script><img src=x onerror='window.hacked = 5'>"
    browser = visit([Record(make(label=f"net {n}", notes=(name,))) for n in range(110)])
    waiting = "return document.querySelectorAll('script.rest').length"
    wait(lambda: browser.execute_script(waiting) == 10)
    browser.execute_script("location.hash = 'a105'")
    wait(lambda: browser.execute_script(waiting) < 10)
    article = browser.find_element(By.ID, "a105")
    assert "Lie derivative" in article.text or "rotations" in article.text
    assert name in article.text
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(waiting) == 0
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.images.length") == 0
    assert complaints(browser) == []


TIMING = (
    "const [n] = performance.getEntriesByType('navigation');"
    "return {ready: n.domContentLoadedEventEnd, load: n.loadEventEnd,"
    " paint: performance.getEntriesByName('first-contentful-paint')[0].startTime}"
)
PARSED = 150_000
"""Elements that a page of 2,000 audits may have before it is scrolled: about a second of parsing. All at once, it has 400,000."""


@pytest.mark.parametrize("failing", [10, 80], ids="{} % fail".format)
def test_two_thousand_audits_open_at_once(visit, make, failing):
    layers = tuple(
        {"layer": f"body.{n}", "class": "Linear", "error": 1e-3, "floor": 1e-14, "verdict": "ok", "note": ""} for n in range(12)
    )  # fmt: skip
    broken = make(tried=turns(), layers=layers * 2, first_bad_layer="body.7")
    exact = make(
        verdict=Verdict.EXACT, error=1e-14, layers=layers[:6], first_bad_layer=None, tried=turns(Verdict.EXACT)
    )
    audits = [make_one(broken if n % 100 < failing else exact, n) for n in range(2000)]
    browser = visit(Report(tuple(audits)))
    size = Path(browser.current_url.removeprefix("file://")).stat().st_size
    print(
        f"{size / 1e6:.0f} MB; milliseconds: {browser.execute_script(TIMING)}"
    )  # seen with -s; no test asserts a time
    assert browser.execute_script("return document.getElementsByTagName('*').length") < PARSED
    assert size < 40e6
    assert len(rows(browser)) == 100
    browser.find_element(By.CSS_SELECTOR, ".chip").click()
    browser.find_element(By.ID, "find").send_keys("number 1999")
    wait(lambda: said(browser).startswith("1 of 2000") or said(browser).startswith("0 of 2000"))
    browser.find_element(By.CSS_SELECTOR, ".chip").click()
    wait(lambda: rows(browser) == ["number 1999"])
    assert complaints(browser) == []


def make_one(audit: Audit, n: int) -> Record:
    return Record(replace(audit, label=f"number {n}"), nodeid=f"tests/test_{n // 20}.py::test_model[{n}]")
