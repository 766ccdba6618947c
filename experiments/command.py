"""How experiments leave when given what cannot be used: with one line and exit code 2, like `universeg-jax`."""

import sys
from collections.abc import Callable
from pathlib import Path

from universeg_jax.errors import InputError


def run(main: Callable[[], None]) -> None:
    """Call `main`; of an `InputError` or `OSError` print the message alone."""
    try:
        main()
    except (InputError, OSError) as error:
        print(f"{Path(sys.argv[0]).stem}: error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
