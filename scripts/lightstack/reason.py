"""Why a frame is not stacked, as the records say it."""

from typing import Any

Reason = dict[str, Any]
"""A ``code``, with the ``value`` that was found and its ``limit``.

`report.reasons` makes a sentence of it; what else the sentence needs stands beside them.
"""
