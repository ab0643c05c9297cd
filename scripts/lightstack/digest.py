"""A fingerprint of a script and of the local modules that it imports.

Snakemake compares a script's time of change and does not look at what it imports. Given to each
rule as a parameter, this digest makes a change of code, wherever it stands, rerun exactly the
rules that use it, and a new comment, docstring or checkout none.
"""

from functools import cache
from importlib.metadata import version

from scripts.lightstack import modules

VERSIONS = [
    version(package)
    for package in (
        "astroalign",
        "astropy",
        "astroscrappy",
        "imagecodecs",
        "numba",
        "numpy",
        "pillow",
        "rawpy",
        "scipy",
        "sep",
        "tifffile",
    )
]
"""Of the packages on which the bytes of the results depend."""


@cache
def code_digest(script: str) -> str:
    """Fingerprint the code of a script.

    Parameters
    ----------
    script : str
        Path below the checkout, such as ``scripts/stack_frames.py``.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    return modules.code_of(modules.ROOT / script)[:12]
