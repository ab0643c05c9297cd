"""Tests of what a run says of its frames: causes that they share, and values to try."""

from typing import Any

from scripts.lightstack.planning.settings import complete_settings
from scripts.lightstack.report.criteria import criteria
from scripts.lightstack.report.rows import Row, rows_of
from scripts.lightstack.report.verdicts import advice, verdicts

SETTINGS = complete_settings({"min_star_count": 200})
LIMITS = criteria(SETTINGS)


def ledger(*frames: dict[str, Any]) -> list[Row]:
    good = {"status": "stacked", "n_stars": "300", "fwhm_px": "3", "ellipticity": "0.1"}
    rows = [
        {"frame": f"f{k}", "reasons": "", **good, **frame} for k, frame in enumerate(frames, 1)
    ]
    return rows_of([{key: str(value) for key, value in row.items()} for row in rows], LIMITS)


def few_stars(n_stars: int) -> dict[str, Any]:
    reasons = f"{n_stars} stars < min_star_count 200"
    return {"status": "rejected", "n_stars": n_stars, "reasons": reasons}


def test_frames_that_share_a_cause_are_one_line_with_ten_names() -> None:
    rows = ledger({}, *map(few_stars, range(100, 112)))
    (line,) = verdicts(rows, LIMITS)
    assert line.startswith("12 rejected: too few stars (min_star_count 200): f2, f3, f4, ")
    assert line.endswith(", f10, f11 and 2 more")


def test_a_frame_with_a_cause_of_its_own_has_the_words_of_the_ledger() -> None:
    trailed = {"status": "rejected", "ellipticity": 0.8, "reasons": "ellipticity 0.8 > …"}
    rows = ledger(few_stars(9), few_stars(8), trailed)
    assert verdicts(rows, LIMITS)[1] == "f3: rejected: ellipticity 0.8 > …"


def test_sentences_that_differ_in_names_and_numbers_alone_share_a_line() -> None:
    rows = ledger(
        *({"status": "unaligned", "reasons": f"{n} of 40 stars match: too few"} for n in (1, 7)),
        *({"status": "failed", "reasons": f"f{k}.fits: not a FITS file."} for k in (3, 4)),
    )
    assert verdicts(rows, LIMITS) == [
        "2 unaligned: … of 40 stars match: too few: f1, f2",
        "2 failed: not a FITS file: f3, f4",
    ]


def test_many_frames_that_failed_for_reasons_of_their_own_are_ten_and_a_count() -> None:
    words = [letter * 3 for letter in "abcdefghijklmn"]
    lines = verdicts(ledger(*({"status": "failed", "reasons": word} for word in words)), LIMITS)
    assert len(lines) == 11
    assert lines[-1] == "4 more failed, each for a reason of its own: see the ledger"


def test_values_are_given_that_accept_what_is_usual() -> None:
    rows = ledger(*map(few_stars, [150] * 3), {}, few_stars(40))
    assert advice(rows, SETTINGS) == [
        "To accept more frames, by the ledger:",
        "  median 150 stars; min_star_count=70 would accept 4 of 5",
    ]


def test_what_one_limit_cannot_do_all_of_them_together_can() -> None:
    wide = {**few_stars(120), "fwhm_px": 7}
    rows = ledger(wide, wide, {})
    assert advice(rows, SETTINGS) == [
        "To accept more frames, by the ledger:",
        "  median 120 stars; min_star_count=60 would accept 1 of 3",
        "  median FWHM 7.00 px; fwhm0=5.25 would accept 1 of 3",
        "  min_star_count=60 fwhm0=5.25 would accept 3 of 3",
    ]


def test_nothing_is_advised_where_most_frames_are_accepted() -> None:
    assert advice(ledger({}, {}, few_stars(3)), SETTINGS) == []
    failed = [{"status": "failed", "n_stars": "", "fwhm_px": "", "ellipticity": ""}] * 5
    assert advice(ledger({}, *failed), SETTINGS) == []


def test_bad_frames_are_not_a_reason_to_raise_a_limit() -> None:
    trailed = {"status": "rejected", "ellipticity": 0.8, "reasons": "…"}
    rows = ledger(trailed, few_stars(100), few_stars(100), few_stars(100))
    assert not [line for line in advice(rows, SETTINGS) if "ellip_max" in line]


def test_values_that_would_accept_no_more_frames_are_not_given() -> None:
    trailed = {**few_stars(30), "ellipticity": 0.9}
    lines = advice(
        ledger({}, {**few_stars(3)}, trailed, {**few_stars(90), "fwhm_px": 20}), SETTINGS
    )
    assert lines == []


def test_where_no_stars_are_found_the_detection_is_named() -> None:
    (_, line) = advice(ledger(few_stars(0), few_stars(1)), SETTINGS)
    assert "threshold_sigma" in line
