"""Door to `universeg-jax train` for people who work in a clone: python -m experiments.train CONFIG ..."""

import sys

from universeg_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
