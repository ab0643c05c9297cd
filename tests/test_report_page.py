"""The report in a real browser: it opens, moves, and asks for nothing."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from scripts.lightstack.files.ledger import COLUMNS
from scripts.lightstack.files.records import read_csv, write_csv
from tests.report_inputs import NAMES, PREVIEW_GREY, make_inputs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HOSTILE = '<img src=x onerror="alert(1)">'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@dataclass
class Opened:
    """The page in a browser, and what it did unasked."""

    page: Page
    unasked: list[str] = field(default_factory=list)

    @property
    def frames(self) -> list[str]:
        """Names in the table, from above, as far as they are shown."""
        names: list[str] = self.page.evaluate(
            "[...document.querySelectorAll('#table tbody tr')]"
            ".filter(row => !row.hidden).map(row => row.cells[1].textContent)"
        )
        return names


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser."""
    with sync_playwright() as drivers:
        browser = drivers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of twelve frames, one with a name that wants to be more than a name."""
    folder = tmp_path_factory.mktemp("report")
    inputs = make_inputs(folder, [*NAMES[:-1], HOSTILE], {"OBJECT": HOSTILE})
    ledger = folder / "frames.csv"
    write_csv(ledger, COLUMNS, [{**row, "bad_pixels": 40} for row in read_csv(ledger)])
    return inputs.write_report()


def opened(browser: Browser, report: Path, **options: object) -> Opened:
    """Open the page, and keep an eye on it."""
    page = browser.new_context(**{"viewport": DESK, **options}).new_page()  # type: ignore[arg-type]
    found = Opened(page)
    page.on("console", lambda message: found.unasked.append(message.text))
    page.on("pageerror", lambda error: found.unasked.append(str(error)))
    page.on("dialog", lambda dialog: found.unasked.append(dialog.message))
    page.on(
        "request",
        lambda request: (
            None
            if request.url in (report.as_uri(),) or request.url.startswith("data:image/")
            else found.unasked.append(request.url[:200])
        ),
    )
    page.goto(report.as_uri())
    return found


@pytest.fixture
def desk(browser: Browser, report: Path) -> Iterator[Opened]:
    """Open the page on a desk's screen; nothing may be complained of or asked for meanwhile."""
    found = opened(browser, report)
    yield found
    found.page.context.close()
    assert found.unasked == []


def test_nearest_misses_are_on_top(desk: Opened) -> None:
    assert desk.frames[:4] == ["light_6", "light_3", "light_4", "light_5"]


def test_a_click_sorts_and_a_second_turns_round(desk: Opened) -> None:
    head = desk.page.locator("th[data-column=n_stars]")
    head.get_by_role("button").click()
    assert desk.frames[:3] == ["light_3", "light_6", "light_1"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    assert desk.frames[:2] == [HOSTILE, "light_11"]
    assert head.get_attribute("aria-sort") == "descending"


def test_frames_without_a_value_stay_below(desk: Opened) -> None:
    button = desk.page.locator("th[data-column=n_matched]").get_by_role("button")
    for _ in range(2):
        button.click()
        assert set(desk.frames[-4:]) == {"light_3", "light_4", "light_5", "light_6"}


def test_names_are_sorted_as_people_count(desk: Opened) -> None:
    desk.page.get_by_label("Sort by").select_option("name")
    assert [name for name in desk.frames if name != HOSTILE] == NAMES[:-1]


def test_keys_sort(desk: Opened) -> None:
    desk.page.locator("th[data-column=name]").get_by_role("button").focus()
    desk.page.keyboard.press("Tab")
    desk.page.keyboard.press("Enter")
    verdict = desk.page.locator("th[data-column=status]")
    assert verdict.get_attribute("aria-sort") == "ascending"
    assert desk.frames[0] == "light_5"


def test_text_and_verdicts_filter(desk: Opened) -> None:
    desk.page.get_by_label("Find").fill("STARS <")
    assert desk.frames == ["light_6", "light_3"]
    assert desk.page.locator("#shown").inner_text() == "2 of 12 shown"
    desk.page.get_by_label("Find").fill("")
    desk.page.get_by_label("stacked 8").uncheck()
    assert desk.frames == ["light_6", "light_3", "light_4", "light_5"]


def test_the_pointer_shows_a_frame(desk: Opened) -> None:
    plot = desk.page.locator(".chart[data-column=n_stars] .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    desk.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] - 20)
    tip = desk.page.locator("#tip")
    assert "light_3" in tip.inner_text()
    assert "17 stars < min_star_count 20" in tip.inner_text()
    assert tip.locator("img").count() == 1
    desk.page.mouse.move(2, 2)
    assert tip.is_hidden()


def test_arrow_keys_go_from_frame_to_frame(desk: Opened) -> None:
    desk.page.locator(".chart[data-column=n_stars]").focus()
    for name in ("light_1", "light_2", "light_3"):
        desk.page.keyboard.press("ArrowRight")
        assert name in desk.page.locator("#tip").inner_text()


def test_a_frame_opens_in_large_with_its_stars(desk: Opened) -> None:
    desk.page.get_by_role("button", name="Show light_3 large").focus()
    desk.page.keyboard.press("Enter")
    dialog = desk.page.get_by_role("dialog", name="light_3")
    assert dialog.locator("img").get_attribute("alt") == "light_3"
    assert dialog.locator("polyline").count() == 2
    assert "min_star_count 20" in dialog.inner_text()
    desk.page.keyboard.press("ArrowRight")
    assert desk.page.get_by_role("dialog", name="light_4").is_visible()
    desk.page.keyboard.press("Escape")
    assert desk.page.get_by_role("dialog").count() == 0


def test_other_limits_can_be_tried(desk: Opened) -> None:
    output = desk.page.locator("#trial output")
    assert output.inner_text() == "9 of 11 frames accepted"
    desk.page.locator("#trial [data-column=n_stars]").fill("10")
    assert output.inner_text() == "11 of 11 frames accepted"
    desk.page.locator("#trial [data-column=fwhm_px]").fill("3.1")
    assert output.inner_text() == "3 of 11 frames accepted"


def test_every_picture_is_seen_and_said(desk: Opened) -> None:
    for image in desk.page.locator("img").all():
        image.scroll_into_view_if_needed()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert desk.page.locator("main img:not([alt])").count() == 0
    silent = "main img[alt='']:not(button[aria-label] img)"
    assert desk.page.locator(silent).count() == 0
    assert desk.page.locator("svg[role=img]:not([aria-label])").count() == 0


def test_the_stacks_are_there_at_first_sight(browser: Browser, report: Path) -> None:
    page = opened(browser, report).page
    # As in a picture of the page that is taken as soon as it is there.
    shot = page.screenshot()
    box = page.locator(".preview img").bounding_box()
    assert box
    left, top = round(box["x"]) + 20, round(box["y"]) + 20
    with Image.open(io.BytesIO(shot)) as seen:
        greys = np.asarray(seen.convert("L"))[top:, left : left + round(box["width"]) - 40]
    assert greys.size > 0
    assert abs(greys.mean() - PREVIEW_GREY) < 2
    # What is decoded later than the page is missing now and then only.
    decoding = page.locator("img").evaluate_all("images => images.map(image => image.decoding)")
    assert set(decoding) == {"sync"}
    widths = page.locator("main img").evaluate_all("images => images.map(one => one.naturalWidth)")
    assert len(widths) > len(NAMES)
    assert min(widths) > 0
    page.context.close()


def test_marks_differ_in_more_than_colour(desk: Opened) -> None:
    looks = {
        desk.page.locator(f".chart path.{status}").first.evaluate(
            "mark => ['strokeLinecap', 'strokeWidth'].map(key => getComputedStyle(mark)[key]) + ''"
        )
        for status in ("stacked", "rejected", "unaligned")
    }
    assert len(looks) == 3


def test_what_belongs_together_stays_together_on_a_phone(browser: Browser, report: Path) -> None:
    found = opened(browser, report, viewport=PHONE)
    heads = found.page.locator("#table thead th")
    columns = [head.get_attribute("data-column") for head in heads.all()]
    row = found.page.locator("#f0")
    name, verdict, date, dark = (
        row.locator(f"> :nth-child({columns.index(column) + 1})").bounding_box()
        for column in ("name", "status", "date_obs", "dark")
    )
    assert name
    assert verdict
    assert date
    assert dark
    line = 24
    assert verdict["y"] < name["y"] + line
    assert date["height"] < 2 * line  # in one line, below what it is
    assert dark["width"] > 0.8 * PHONE["width"]
    found.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_is_readable(
    browser: Browser, report: Path, scheme: str, screen: dict[str, int]
) -> None:
    found = opened(browser, report, viewport=screen, color_scheme=scheme)
    page = found.page
    assert page.evaluate("document.documentElement.scrollWidth") == screen["width"]
    # Text whose contrast is too low by WCAG 2.2 (1.4.3), or that is too small.
    faint = page.evaluate(
        """() => {
          const light = (colour) => {
            const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((part) => part / 255)
              .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = (one) => {
            const colour = getComputedStyle(one).backgroundColor;
            return /rgba\\(.*, 0\\)|color/.test(colour) ? ground(one.parentElement) : colour;
          };
          return [...document.querySelectorAll("body *")].filter((one) => {
            const style = getComputedStyle(one);
            const texts = [...one.childNodes].filter((node) => node.nodeType === 3);
            if (!texts.some((node) => node.data.trim()) || !one.checkVisibility()) return false;
            if (one.closest("script, svg, .picture")) return false;
            const [a, b] = [light(style.color), light(ground(one))].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05) < 4.5 || Number.parseFloat(style.fontSize) < 11.5;
          }).map((one) => one.outerHTML.slice(0, 200));
        }"""
    )
    assert faint == []
    page.context.close()
    assert found.unasked == []


def test_all_is_there_without_scripts(browser: Browser, report: Path) -> None:
    found = opened(browser, report, java_script_enabled=False)
    assert found.page.locator("#table tbody tr").count() == 12
    assert found.page.locator("#controls").is_hidden()
    assert found.page.locator("#trial").is_hidden()
    found.page.context.close()
