"""`python -m convert NETWORK FILE --out DIR`: released checkpoints into weights of this library."""

import argparse
import sys
from collections.abc import Sequence

from convert import dinov2, sam, universeg
from universeg_jax.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a converter and return the exit code: 0, or 2 for unusable input; nothing is written then."""
    parser = argparse.ArgumentParser(
        prog="python -m convert", description="Convert a released checkpoint into a folder of weights."
    )
    subparsers = parser.add_subparsers(title="networks", required=True, metavar="NETWORK")
    for converter in (universeg, sam, dinov2):
        converter.add_parser(subparsers)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
