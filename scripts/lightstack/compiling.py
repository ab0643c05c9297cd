"""Loops over pixels, compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile with Numba, without the GIL, and keep the machine code on disk.

    Sums keep the order that the code gives them and products are not fused into them, so that
    every processor computes the same bytes.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return cast("Function", njit(cache=True, **options)(function))
    except RuntimeError:  # there is no place on disk: neither the checkout nor a home is writable
        return cast("Function", njit(**options)(function))
