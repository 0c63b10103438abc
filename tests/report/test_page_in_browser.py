"""The report in a real browser: headless Chromium, where there is one.

`ZEST_CHROMIUM` and `ZEST_CHROMEDRIVER` name other programs than `chromium` (or `google-chrome`) and `chromedriver`.
"""

import dataclasses
import datetime as dt
import functools
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.report.making import world
from zest_jax.report.about_suspect import suspect_page
from zest_jax.report.about_zoo import zoo_page
from zest_jax.report.page import render
from zest_jax.screening import Metadata, compare_all, investigate

pytest.importorskip("jinja2")
webdriver = pytest.importorskip("selenium.webdriver")

DAY = dt.date(2024, 5, 1)
HOSTILE = (
    "<script>document.title='owned'</script>\"><img src=http://example.com/x.png onerror=\"document.title='owned'\">"
)
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
)  # fmt: skip
# Text that is smaller than 1.5 rem needs this contrast (WCAG 2.2, 1.4.3).
CONTRAST = 4.5

# What of the page lies further right than the window, unless inside a box that scrolls.
BEYOND = """
const inside = e => { for (; e; e = e.parentElement) if (getComputedStyle(e).overflowX === 'auto') return true; return false }
return [...document.querySelectorAll('body *')].filter(e => !inside(e) && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + ' ' + e.textContent.slice(0, 60))
"""
# Each text with its colour and that of the ground behind it.
COLOURS = """
const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (c !== 'rgba(0, 0, 0, 0)') return c } return 'none' }
const found = new Map()
for (const e of document.querySelectorAll('body *'))
  if ([...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    found.set([getComputedStyle(e).color, ground(e)].join('|'), e.tagName)
return [...found].map(([pair, tag]) => [...pair.split('|'), tag])
"""
PICTURES = "return [...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width, i.alt])"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    names = os.environ.get("ZEST_CHROMIUM", "chromium chromium-browser google-chrome").split()
    chromium = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which(os.environ.get("ZEST_CHROMEDRIVER", "chromedriver"))
    if chromium is None or driver is None:
        pytest.skip("there is no chromium with its chromedriver; name them in ZEST_CHROMIUM and ZEST_CHROMEDRIVER")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """Addresses of a report of each kind; treat as read-only."""
    folder = tmp_path_factory.mktemp("pages")
    made = world()
    names = (HOSTILE, "b" * 300, "c'\"&")
    suspect, model = (
        dataclasses.replace(each, label=label, class_names=names, settings={**each.settings, "note": HOSTILE * 3})
        for each, label in ((made.suspect, HOSTILE), (made.models[0], "w" * 200))
    )
    found = {
        "image": investigate(made.suspect, made.models, unrelated=made.unrelated),
        "hostile": investigate(suspect, [model, *made.models[1:]]),
        **{kind: investigate(world(kind).suspect, world(kind).models) for kind in ("text", "audio")},
    }
    reports = {
        name: suspect_page(each, name="models.store", made=DAY, probes=world(kind).probes, references=1)
        for name, each in found.items()
        for kind in [name if name in ("text", "audio") else "image"]
    }
    metadata = Metadata(architecture="resnet18-half", data="flowers102", owner="laboratory 3", date=DAY)
    near = tuple(each._replace(entry=each.entry._replace(metadata=metadata)) for each in found["image"].nearest)
    reports["noted"] = suspect_page(found["image"]._replace(nearest=near), name="models.store", made=DAY)
    reports["zoo"] = zoo_page(
        compare_all([suspect, model, *made.models, *made.unrelated]), name="models.store", made=DAY
    )
    addresses = {}
    for name, report in reports.items():
        path = folder / f"{name}.html"
        path.write_text(render(report), encoding="utf-8")
        addresses[name] = path.as_uri()
    return addresses


@pytest.fixture
def show(browser, pages):
    """Open a page in a window of a width, in light or dark; returns the browser."""

    def opened(name: str, *, width: int = 1280, dark: bool = False) -> Any:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get_log("performance")
        browser.get_log("browser")
        browser.get(pages[name])
        return browser

    return opened


KINDS = ["image", "text", "audio", "zoo", "hostile"]


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_fetched_nothing_fails_and_all_pictures_are_seen(show, pages, name):
    seen = show(name)
    pictures = seen.execute_script(PICTURES)
    assert len(pictures) >= 2
    assert all(complete and natural > 0 and width > 100 and alt for complete, natural, width, alt in pictures), pictures
    assert seen.get_log("browser") == []
    sent = [json.loads(line["message"])["message"] for line in seen.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in sent if each["method"] == "Network.requestWillBeSent"]
    assert pages[name] in asked, "requests are not recorded"
    assert [url for url in asked if url != pages[name] and not url.startswith("data:")] == []


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("name", KINDS)
def test_page_is_no_wider_than_the_window(show, name, width):
    seen = show(name, width=width)
    page, window = seen.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert page <= window == width
    assert seen.execute_script(BEYOND) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["image", "zoo"])
def test_texts_stand_out_from_their_ground(show, name, dark):
    seen = show(name, dark=dark)
    colours = seen.execute_script(COLOURS)
    assert len(colours) >= 3
    for ink, ground, tag in colours:
        assert contrast(ink, ground) >= CONTRAST, (ink, ground, tag)
    (page,) = {seen.execute_script("return getComputedStyle(document.body).backgroundColor")}
    assert (luminance(page) < 0.1) == dark
    (paper,) = set(
        seen.execute_script(
            "return [...document.querySelectorAll('.paper')].map(e => getComputedStyle(e).backgroundColor)"
        )
    )
    assert luminance(paper) == 1, "pictures are drawn on white"


@pytest.mark.parametrize("name", ["hostile", "zoo"])
def test_hostile_names_are_seen_as_they_are(show, name):
    seen = show(name)
    assert "owned" not in seen.execute_script("return document.title.replace(arguments[0], '')", HOSTILE)
    assert HOSTILE in seen.execute_script("return document.body.innerText")
    assert seen.execute_script("return document.scripts.length") == 0
    assert seen.execute_script("return [...document.images].every(i => i.src.startsWith('data:'))")


def test_wide_tables_scroll_in_their_box(show):
    seen = show("hostile", width=400)
    boxes = seen.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(e => [e.scrollWidth > e.clientWidth, e.tabIndex, e.ariaLabel])"
    )
    assert any(scrolls for scrolls, _, _ in boxes)
    assert all(index == 0 and label for _, index, label in boxes), "reached by keyboard, and named"


def test_both_models_are_seen_together_on_a_phone(show):
    seen = show("image", width=400)
    left, right = seen.execute_script(
        "const i = [...document.images].find(i => i.alt.startsWith('Reference')).getBoundingClientRect(); return [i.left, i.right]"
    )
    assert 0 <= left < right <= 400


def test_tables_of_nearest_models_fit_a_common_window(show):
    seen = show("noted")
    box = seen.execute_script(
        "const e = document.querySelector('section[aria-labelledby=nearest] .scroll'); return [e.scrollWidth, e.clientWidth]"
    )
    assert box[0] <= box[1]
    rows = "return [...document.querySelectorAll('.option')].map(e => e.getClientRects().length)"
    assert set(seen.execute_script(rows)) == {1}


def test_page_prints(show):
    printed = show("image").execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert len(printed["data"]) > 10_000


@functools.cache
def luminance(colour: str) -> float:
    """Relative luminance of "rgb(...)" (WCAG 2.2)."""
    red, green, blue = (float(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3])
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)
