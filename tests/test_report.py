"""The report: what it says is true, and what it is given cannot harm who opens it."""

import io
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scripts.lightstack.detection.quality import Limits, grade
from scripts.lightstack.detection.sources import SOURCE
from scripts.lightstack.files.frame_file import Frame, write_failure, write_frame
from scripts.lightstack.files.ledger import COLUMNS
from scripts.lightstack.files.records import read_csv, write_csv, write_json
from scripts.lightstack.planning.settings import complete_settings
from scripts.lightstack.raw.bayer import GREY_CORRELATION, GREY_NOISE, grey_of_mosaic
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.report import charts, depth
from scripts.lightstack.report.columns import significant
from scripts.lightstack.report.criteria import broken, criteria, nearest, what_if
from scripts.lightstack.report.page import setting
from scripts.lightstack.report.pictures import picture_of_frame
from scripts.lightstack.report.rows import causes, rows_of
from scripts.lightstack.report.stacks import SingleFrame
from scripts.lightstack.simulator import Light, star_profile
from tests.report_inputs import NAMES, SETTINGS, SHAPE, Inputs, make_inputs

HOSTILE = '<script>alert(1)</script>" onerror="alert(1)'
HEADER = "</title></style><img src=x onerror=alert(1)>"


@dataclass
class Page(HTMLParser):
    """What a browser would find in the page."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        """Begin without any text."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append((tag, dict(attrs)))
        number = dict(attrs).get("id") or ""
        if tag == "tr" and re.fullmatch(r"f\d+", number):
            self.rows.append(number)

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Return the files of twelve frames."""
    return make_inputs(tmp_path)


def test_the_same_inputs_give_the_same_bytes(inputs: Inputs) -> None:
    first = inputs.write_report("first.html").read_bytes()
    # The second time the frames' pictures are those that were kept.
    assert inputs.write_report("second.html").read_bytes() == first
    for kept in (inputs.folder / "pictures").iterdir():
        kept.unlink()
    inputs.path("cleaned", "light_1").touch()
    assert inputs.write_report("third.html").read_bytes() == first


def test_what_frames_and_headers_hold_stays_text(tmp_path: Path) -> None:
    # A slash would make a folder of it; the page must bear any name that a ledger can hold.
    name = HOSTILE.replace("/", "\N{FULLWIDTH SOLIDUS}")
    cards = {"OBJECT": HEADER, "FILTER": HOSTILE[:60]}
    report = make_inputs(tmp_path, ["a", "b", name], cards).write_report(unused=[HOSTILE])
    page = parsed(report)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 2
    assert not [key for _, attributes in page.tags for key in attributes if key.startswith("on")]
    assert name in page.text
    assert HEADER in page.text


def test_the_page_names_no_address(inputs: Inputs) -> None:
    assert b"//" not in re.sub(
        rb"\s// |base64,[^\"]+|/\*", b"", inputs.write_report().read_bytes()
    )


def test_an_empty_card_is_as_good_as_none(tmp_path: Path) -> None:
    page = parsed(make_inputs(tmp_path, cards={"OBJECT": "", "TELESCOP": " "}).write_report())
    assert "Stacked frames" in page.text
    assert "telescope" not in page.text


def test_the_nearest_misses_come_first(inputs: Inputs) -> None:
    # light_6 has 19 stars of 20, light_3 17; light_4 is not aligned, and light_5 failed.
    page = parsed(inputs.write_report())
    assert page.rows[:4] == ["f5", "f2", "f3", "f4"]


CALIBRATED = {
    "dark": "master of 9: 60 s",
    "dark_factor": 0.5,
    "bias": "master of 20",
    "flat": "master of 7: Ha",
    "bad_pixels": 120,
    "cosmic_ray_pixels": 33,
    "no_data_fraction": 0.25,
    "saturation_found_adu": 4095,
    "overscan_adu": 311.25,
}


def test_doubts_that_differ_in_numbers_alone_are_one_line(inputs: Inputs) -> None:
    ledger = inputs.folder / "frames.csv"
    rows: list[dict[str, Any]] = [*read_csv(ledger)]
    for number, row in enumerate(rows):
        row["flat"] = f"master of 9: R; the sky shows {number}.{number}% of the depth"
    rows[-1]["flat"] = "master of 9: R; another cause 5"
    rows[-2]["flat"] = "master of 8: R; the sky shows 9% of the depth"
    write_csv(ledger, COLUMNS, rows)
    page = inputs.write_report().read_text()
    section = page.split('<section id="calibration">')[1].split("</section>")[0]
    shown = [line for line in section.splitlines() if "master of" in line and "; " in line]
    assert [line.split("<td>")[1].removesuffix("</td>") for line in shown] == [
        "master of 9: R; the sky shows 0.0% of the depth",
        "master of 8: R; the sky shows 9% of the depth",
        "master of 9: R; another cause 5",
    ]
    assert f"<td>{len(rows) - 2}</td>" in shown[0]


def with_calibration(inputs: Inputs) -> str:
    """Page of a run whose frames are calibrated, the second with other bad pixels."""
    ledger = inputs.folder / "frames.csv"
    rows: list[dict[str, Any]] = [*read_csv(ledger)]
    for row in rows:
        row.update(CALIBRATED)
    rows[1]["bad_pixels"] = 180
    rows[2]["bias"] = "none"
    write_csv(ledger, COLUMNS, rows)
    return inputs.write_report("calibrated.html").read_text()


def test_the_page_shows_what_frames_are_calibrated_with(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path)
    plain = inputs.write_report().read_text()
    page = with_calibration(inputs)
    section = page.split('<section id="calibration">')[1].split("</section>")[0]
    for row in (
        "<td>master of 9: 60 s</td><td>12</td>",
        "<td>master of 20</td><td>11</td>",
        "<td>master of 7: Ha</td><td>12</td>",
        "<td>factor of the dark</td><td>0.500</td><td>12</td>",
        "<td>bad pixels</td><td>120 (120 to 180)</td><td>12</td>",
        "<td>pixels of cosmic rays</td><td>33</td><td>12</td>",
        "<td>without data</td><td>25.00 %</td><td>12</td>",
        "<td>saturation found</td><td>4095 ADU</td><td>12</td>",
        "<td>overscan</td><td>311.2 ADU</td><td>12</td>",
    ):
        assert row in section
    # A column of the table for each, but where no frame has anything.
    for key in ("bias", "flat", "bad_pixels", "no_data_fraction", "overscan_adu"):
        assert f'<col class="{key}">' in page
        assert f'<col class="{key}">' not in plain
    assert "<td>master of 7: Ha</td>" in page.split('<section id="calibration">')[0]
    assert "in the pixels" not in plain


def test_every_frame_has_a_row(inputs: Inputs) -> None:
    page = parsed(inputs.write_report())
    assert sorted(page.rows) == sorted(f"f{k}" for k in range(len(inputs.names)))
    assert "it is not a FITS file." in page.text


def test_a_frame_that_failed_in_detection_is_shown_without_marks(inputs: Inputs) -> None:
    failure = UnusableFrameError("light_3.fits: too many peaks.")
    write_failure(inputs.path("sources", "light_3"), failure, {"RAWSHA": "0"})
    page = parsed(inputs.write_report())
    assert "f2" in page.rows


def test_a_picture_is_kept_until_its_frame_changes(inputs: Inputs) -> None:
    inputs.write_report()
    kept = {path.name: path.stat().st_mtime_ns for path in (inputs.folder / "pictures").iterdir()}
    inputs.path("cleaned", "light_2").replace(inputs.path("cleaned", "light_1"))
    make_inputs(inputs.folder / "again", NAMES[:2])
    (inputs.folder / "again/work/cleaned/light_2.fits").rename(inputs.path("cleaned", "light_2"))
    inputs.write_report()
    changed = [
        path.name
        for path in (inputs.folder / "pictures").iterdir()
        if path.stat().st_mtime_ns != kept[path.name]
    ]
    assert sorted(changed) == ["light_1.jpeg", "light_2.jpeg"]


def test_where_nothing_is_stacked_the_page_says_why_and_what_if(inputs: Inputs) -> None:
    problem = "None of the 12 frames was accepted: 12 for too few stars (lower min_star_count)."
    alignment: dict[str, object] = {
        "reference": None,
        "frames": {},
        "unaligned": {},
        "problem": problem,
    }
    write_json(inputs.folder / "alignment.json", alignment)
    for name in ("preview.png", "stack_sigma_clip.fits"):
        (inputs.folder / name).unlink()
    page = parsed(inputs.write_report())
    assert problem in page.text
    assert len(page.rows) == 12
    assert "min_star_count" in page.text.partition("What if")[2]


@pytest.mark.parametrize("damaged", [slice(None), slice(500, None), slice(1), slice(500, 600)])
def test_a_damaged_picture_is_drawn_again(inputs: Inputs, damaged: slice) -> None:
    first = inputs.write_report("first.html").read_bytes()
    kept = inputs.folder / "pictures" / "light_1.jpeg"
    content = bytearray(kept.read_bytes())
    content[damaged] = bytes(len(content[damaged]))
    kept.write_bytes(content)
    assert inputs.write_report("second.html").read_bytes() == first


@pytest.mark.parametrize("shape", [(1, 90_000), (3, 5), (4000, 16)])
def test_frames_of_any_shape_have_a_picture(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = tmp_path / "frame.fits"
    header = fits.Header([("NOISEADU", 1.0)])
    write_frame(path, Frame(np.ones(shape, np.float32), header, np.zeros(shape, bool)))
    picture = picture_of_frame(path, tmp_path / "frame.jpeg")
    assert picture
    assert max(picture.width, picture.height) <= 480


@pytest.mark.parametrize("order", ["TOP-DOWN", "BOTTOM-UP"])
def test_a_star_is_marked_where_it_is_seen(tmp_path: Path, order: str) -> None:
    inputs = make_inputs(tmp_path, cards={"ROWORDER": order})
    page = parsed(inputs.write_report())
    kept = (tmp_path / "pictures" / "light_3.jpeg").read_bytes()
    with Image.open(io.BytesIO(kept[128:])) as image:
        picture = np.asarray(image, float)
    y, x = np.unravel_index(np.argmax(picture), picture.shape)
    (point, *_) = [
        attributes["points"]
        for tag, attributes in page.tags
        if tag == "polyline" and attributes["class"] == "star"
    ]
    marked = [float(value) for value in (point or "").split()[0].split(",")]
    assert marked == pytest.approx([x + 0.5, y + 0.5], abs=2)
    assert (y < SHAPE[0] / 2) == (order == "BOTTOM-UP")


@pytest.mark.parametrize("shape", [(128, 192), (156, 156), (1024, 1536)])
def test_two_thousand_rows_stay_below_twenty_megabytes(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    # The frames are noise, which compresses worst.
    sizes = [
        make_inputs(tmp_path / f"{n}", [f"light_{k}" for k in range(n)], shape=shape)
        .write_report()
        .stat()
        .st_size
        for n in (6, 12)
    ]
    assert sizes[1] + 1988 / 6 * (sizes[1] - sizes[0]) < 20e6


def test_no_share_above_one_is_tried() -> None:
    limits = criteria(complete_settings({}))
    ellipticity = what_if(limits, [])[2]
    assert [limit for limit, _, _ in ellipticity.trials] == [
        "1.000",
        "0.625",
        "0.500",
        "0.400",
        "0.250",
    ]


def test_a_frame_without_a_source_is_graded() -> None:
    row = {"frame": "a", "status": "rejected", "reasons": "0 stars < min_star_count 20"}
    (graded,) = rows_of(
        [{**row, "n_stars": "0", "n_sources": "0"}], criteria(complete_settings({}))
    )
    assert graded.margin == -1
    assert graded.reasons == ["0 stars < min_star_count 20"]


numbers = st.floats(0, 2, allow_subnormal=False)


@given(n_stars=st.integers(1, 40), fwhm=st.floats(1.3, 12), b=st.floats(0.1, 1), hot=numbers)
def test_limits_that_are_broken_are_what_frames_are_rejected_for(
    n_stars: int, fwhm: float, b: float, hot: float
) -> None:
    settings = complete_settings(SETTINGS)
    sources = np.zeros(n_stars, SOURCE)
    sources["fwhm"], sources["ellipticity"] = fwhm, 1 - b
    sources["saturated"] = np.arange(n_stars) < hot * n_stars / 8
    names = Limits.__dataclass_fields__
    quality = grade(sources, Limits(**{name: settings[name] for name in names}))
    limits = criteria(settings)
    values = {limit.column: getattr(quality, limit.column, None) for limit in limits}
    assert len(broken(limits, values)) == len(quality.reasons)
    assert (nearest(limits, values) >= 0) == (not quality.reasons)  # type: ignore[operator]


def test_frames_that_are_left_out_are_counted_by_cause() -> None:
    limits = criteria(complete_settings(SETTINGS))
    copy = "a copy of another file: data/light_{}.fits"
    reasons = {"a": "7 stars < min_star_count 20", "b": copy.format(1), "c": copy.format(2)}
    ledger = [
        {"frame": name, "status": "rejected", "reasons": reason, "n_stars": "7" * (name == "a")}
        for name, reason in (*reasons.items(), ("d", "a picture of 8 bits among raw frames"))
    ]
    assert causes(rows_of(ledger, limits), limits) == [
        ("too few stars (min_star_count: at least 20)", ["a"]),
        ("a copy of another file: data/light_….fits", ["b", "c"]),
        ("a picture of 8 bits among raw frames", ["d"]),
    ]


def test_what_if_counts_the_frames_that_would_be_accepted() -> None:
    limits = criteria(complete_settings({"min_star_count": 100}))
    frames = [{"n_stars": float(n), "fwhm_px": 3.0, "ellipticity": 0.1} for n in (49, 60, 99, 150)]
    stars = what_if(limits, [dict(values) for values in frames])[0]
    assert [(limit, count) for limit, count, _ in stars.trials] == [
        ("10", 4),
        ("25", 4),
        ("50", 3),
        ("80", 2),
        ("100", 1),
        ("125", 1),
        ("200", 0),
    ]


@given(
    low=st.floats(-1e6, 1e6, allow_subnormal=False),
    span=st.floats(1e-3, 1e6),
    most=st.integers(2, 8),
)
def test_ticks_are_on_the_scale(low: float, span: float, most: int) -> None:
    axis = charts.linear_axis(low, low + span, most)
    assert axis.holds(low)
    assert axis.holds(low + span)
    assert 1 <= len(axis.ticks) <= most + 2
    assert all(-1e-6 <= at <= 1 + 1e-6 for at, _ in axis.ticks)
    for at, label in axis.ticks:
        assert axis.place(float(label)) == pytest.approx(at, abs=0.02)


def test_one_bad_frame_does_not_press_the_others_into_a_line() -> None:
    values = [3.0, 3.1, 3.2, 90.0]
    drawn = charts.chart("fwhm_px", "FWHM", "px", values, [True, True, True, False])  # type: ignore[arg-type]
    assert drawn is not None
    assert drawn.axis.high < 4
    assert drawn.beyond == 1
    assert drawn.places[3] == 1


def test_where_nothing_is_stacked_the_frames_are_drawn_beside_the_limit() -> None:
    values: list[float | None] = [63.0, 53.0, 64.0, 59.0, 66.0, 900.0, None]
    limit = (80.0, True, "at least")
    drawn = charts.chart("n_stars", "Stars", "", values, [False] * 7, limit)
    assert drawn is not None
    assert drawn.beyond == 1
    assert all(0 < place < drawn.limits[0][0] for place in drawn.places[:5] if place is not None)


@pytest.mark.parametrize(("limit", "is_drawn"), [(6.0, True), (60.0, False)])
def test_a_limit_is_drawn_unless_it_is_far_away(limit: float, is_drawn: bool) -> None:
    drawn = charts.chart(
        "fwhm_px", "FWHM", "px", [3.0, 3.5], [True, True], (limit, False, "at most")
    )
    assert drawn is not None
    assert bool(drawn.limits) is is_drawn
    assert drawn.forbidden == ((drawn.limits[0][0], 1.0) if is_drawn else None)


def test_a_night_is_drawn_over_time() -> None:
    # The last frame has no image, and so no time.
    dates = ["2026-03-01T23:50:00", "2026-03-02T00:30:00.5", "2026-03-02T00:10:00Z", None]
    axis, places = charts.frame_axis(dates)
    assert places[0] < places[2] < places[1]
    assert "00:00" in [label for _, label in axis.ticks]


@pytest.mark.parametrize(
    "dates",
    [
        ["", "", ""],
        ["2026-03-01T23:50:00", "no date", "2026-03-02T00:10:00"],
        ["2026-03-01", "2026-03-02", "2026-03-03"],
        ["2026-03-01T20:00:00", "2026-03-02T20:00:01", "2026-03-01T21:00:00"],
        ["2026-03-01T20:00:00"] * 3,
        ["9999-12-31T23:50:00", "9999-12-31T23:55:00", "9999-12-31T23:59:00"],
    ],
    ids=["none", "one not", "days", "several nights", "all alike", "no clock"],
)
def test_frames_are_drawn_in_their_order_where_time_does_not_tell(dates: list[str]) -> None:
    _, places = charts.frame_axis(dates)
    assert places == sorted(places)
    assert len(set(places)) == 3


def test_the_gain_in_noise_is_that_of_the_pixels() -> None:
    generator = np.random.default_rng(3)
    sky = np.zeros((512, 512), np.float32)
    y, x = generator.integers(8, 504, (2, 60))
    for dy, dx in np.ndindex(5, 5):
        sky[y + dy, x + dx] += 500
    frame, stack = (
        (sky + generator.normal(0, noise, sky.shape)).astype(np.float32) for noise in (10, 2.5)
    )
    stack[:40] = np.nan
    # In a part of the field there are fewer frames, and no stars either.
    coverage = np.full(sky.shape, 16)
    coverage[:, 300:], stack[:, 300:] = 4, generator.normal(0, 5, (512, 212))
    of_frame, of_stack = depth.noise_on_empty_sky(frame, stack, coverage)
    assert of_frame == pytest.approx(10, rel=0.1)
    assert of_stack == pytest.approx(2.5, rel=0.1)


@pytest.mark.parametrize("per_pixel", [1, 2])
def test_the_noise_of_grey_mosaics_is_known_on_blocks(per_pixel: int) -> None:
    sky = np.random.default_rng(8).normal(0, 10, (1024, 1024)).astype(np.float32)
    grey = sky.copy()
    grey_of_mosaic(grey)
    mosaic = SingleFrame(lambda first, last: sky[first:last], 10.0)
    single = SingleFrame(lambda first, last: grey[first:last], 10 * GREY_NOISE, GREY_CORRELATION)
    if per_pixel == 2:
        mosaic, single = mosaic.halved(), single.halved()
    n_rows = 1024 // per_pixel
    of_frame, of_mosaic = depth.noise_on_empty_sky(
        single.rows(0, n_rows), mosaic.rows(0, n_rows), np.ones((n_rows, n_rows))
    )
    noise = single.noise, single.correlation, per_pixel
    assert of_frame == pytest.approx(depth.noise_of_blocks(*noise), rel=0.03)
    assert of_mosaic == pytest.approx(depth.unsmoothed_noise(*noise), rel=0.03)


def test_the_fwhm_of_a_stack_is_that_of_its_stars() -> None:
    y, x = np.mgrid[:300, :300]
    image = np.random.default_rng(2).normal(0, 2, (300, 300))
    for k in range(25):
        dx, dy = x - 30 - 60 * (k % 5) + k / 25, y - 30 - 60 * (k // 5) - k / 30
        image += 20_000 * star_profile(dx, dy, Light(fwhm=4.0))
    nebula = 400 * np.exp(-((x - 150) ** 2 + (y - 120) ** 2) / (2 * 80**2))
    image[:10] = np.nan
    settings = complete_settings({"minarea": 5})
    for light, error in ((0, 0.05), (nebula, 0.1)):
        found = depth.fwhm((image + light).astype(np.float32), 2.0, settings)
        assert found == pytest.approx(4, rel=error)
    assert np.isnan(depth.fwhm(np.full((50, 50), np.nan, np.float32), float("nan"), settings))


def test_the_best_gain_of_equal_frames_is_the_root_of_their_number() -> None:
    assert depth.best_gain([7.0] * 9, 7.0) == pytest.approx(3)
    assert depth.best_gain([7.0, 70.0], 7.0) == pytest.approx(1.005, abs=0.001)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.01235"), (14629.04, "14629"), (300.0, "300"), (0, "0"), (float("nan"), "–")],  # noqa: RUF001
)
def test_numbers_have_the_digits_that_say_something(value: float, text: str) -> None:
    assert significant(value, 4) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(False, "false"), (None, "null"), (["mean", "max"], "[mean, max]"), (2.5, "2.5"), ("a", "a")],
)
def test_settings_are_written_as_in_a_configuration(value: object, text: str) -> None:
    assert setting(value) == text
    assert yaml.safe_load(text) == value
