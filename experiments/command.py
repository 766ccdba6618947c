"""Run an experiment's `main` and report unusable input in one line with exit code 2, like `universeg-jax`."""

import sys
from collections.abc import Callable
from pathlib import Path

from universeg_jax.errors import InputError


def run(main: Callable[[], None]) -> None:
    """Call `main`; print only the message of an `InputError` or `OSError`."""
    try:
        main()
    except (InputError, OSError) as error:
        print(f"{Path(sys.argv[0]).stem}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
