"""`python -m convert NETWORK FILE --out DIR` is `universeg-jax convert` for people who work in a checkout."""

import sys

from universeg_jax.cli.main import main

sys.exit(main(["convert", *sys.argv[1:]]))
