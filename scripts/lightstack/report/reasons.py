"""Sentences for the reasons that records hold as codes."""

from scripts.lightstack.reason import Reason

_MATCHED = "{n_pairs} of {n_trials} stars in the overlap match"

SENTENCES = {
    "unusable": "{cause}",
    "too_few_stars": "{value} stars < min_star_count {limit}",
    "too_wide": (
        "FWHM {value:.2f} px > {limit:.2f} px "
        "(fwhm_max_ratio {fwhm_max_ratio:g} x fwhm0 {fwhm0:g})"
    ),
    "too_elongated": "ellipticity {value:.3f} > ellip_max {limit:g}",
    "too_saturated": "saturated fraction {value:.3f} > saturated_max_fraction {limit:g}",
    "same_pixels": "the same pixels as {other}, which counts",
    "too_few_sources": "the {which} has {value} sources as wide as stars: too few to align",
    "no_arrangement": "no arrangement of bright stars is found in both lists",
    "too_few_pairs": f"{_MATCHED}: too few to trust",
    "as_good_by_chance": f"{_MATCHED}: unrelated fields do as well by chance",
    "too_few_of_the_bright": f"{_MATCHED}, {{value:.0%}} of the brighter half: too few to trust",
    "hot_pixels": "{value} sources match without any shift, but they look like hot pixels",
    "torn": (
        "torn: {value:.0%} of the bright stars match in {axis} {first:.0f} to {last:.0f}, "
        "nearly all outside of them"
    ),
    "doubled": (
        "its stars are there twice, {distance:.0f} px apart ({value} pairs among the {limit} "
        "brightest): the mount jumped, or exposures were added up that were not aligned"
    ),
    "too_opaque": "{value:.0%} of the light of a clear frame < min_transparency {limit:g}",
    "out_of_proportion": (
        "its bright stars have {value:.0%} of the light that its faint ones let expect: "
        "a stretched picture, or stars that are saturated below saturation_limit"
    ),
    "other_scale": (
        "its pixels are {value:.2f} times as wide on the sky as those of the other frames: "
        "a stack mixes no binnings (group_by parts them)"
    ),
    "other_shape": (
        "it has {value[1]} x {value[0]} pixels and not {limit[1]} x {limit[0]}, as most have"
    ),
    "other_exposure": "it was exposed {value} s and not {limit} s, as most were",
    "exposure_known": "its header states an exposure, and most do not",
    "exposure_unknown": "its header states no exposure, and most do",
    "apart": "it is none of the {value} of {limit} frames that align on each other",
    "alone": "nothing to stack it with",
}
"""By code; the fields are those of the reason."""

OF_ONE = {
    "too_few_stars": "1 star < min_star_count {limit}",
    "too_few_sources": "the {which} has 1 source as wide as stars: too few to align",
}
"""The same where the value is 1."""


def sentence(reason: Reason) -> str:
    """Say in words why a frame is not stacked."""
    code = reason["code"]
    known = OF_ONE if code in OF_ONE and reason["value"] == 1 else SENTENCES
    return known[code].format_map(reason)


def sentences(reasons: list[Reason]) -> str:
    """Say all reasons, one after the other."""
    return "; ".join(map(sentence, reasons))
