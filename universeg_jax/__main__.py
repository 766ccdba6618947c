"""`python -m universeg_jax` is the command `universeg-jax`."""

import sys

from universeg_jax.cli.main import main

sys.exit(main())
