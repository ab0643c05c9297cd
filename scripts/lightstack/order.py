"""The order of names."""

import re


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``f2`` before ``f10``; names that differ at all have different keys."""
    parts = re.split(r"([0-9]+)", name)
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return [*key, (-1, 0, name)]
