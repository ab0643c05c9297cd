"""What every script does when Snakemake runs it."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake


class JobError(Exception):
    """A sentence for the person at the keyboard: the job ends with it and without a traceback."""


@contextmanager
def job_log(snakemake: "Snakemake") -> Iterator[None]:
    """Send all that a job prints to its log, C libraries and warnings included.

    Parameters
    ----------
    snakemake : Snakemake
        The object that Snakemake gives to a script; its first log file is written.
    """
    with Path(snakemake.log[0]).open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.INFO, force=True)
    logging.captureWarnings(capture=True)
    try:
        yield
    except OSError as error:
        sys.exit(f"ERROR: {error.filename or 'A file'}: {error.strerror or error}.")
    except MemoryError as error:
        sys.exit(f"ERROR: Memory is used up ({error or 'no more of it'}). Use fewer --cores.")
    except JobError as error:
        sys.exit(f"ERROR: {error}")
