"""Options of the command line, and last lines of output, that several subcommands share."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from universeg_jax.weights import shipped


def add_out(parser: Any, help: str = "folder to write", *, metavar: str = "DIR") -> None:
    """Add `--out`."""
    parser.add_argument("-o", "--out", type=Path, required=True, metavar=metavar, help=help)


def add_overwrite(parser: Any, help: str = "replace outputs of an earlier run") -> None:
    """Add `--overwrite`."""
    parser.add_argument("--overwrite", action="store_true", help=help)


def add_quiet(parser: Any) -> None:
    """Add `--quiet`."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print warnings and errors only")


def add_weights(parser: Any, help: str = "name or path of weights (default: %(default)s)", **options: Any) -> None:
    """Add `--weights`; the default is the shipped weights."""
    parser.add_argument("-w", "--weights", help=help, **{"default": shipped.DEFAULT, **options})


def add_command(subparsers: Any, name: str, *, help: str, description: str) -> argparse.ArgumentParser:
    """Add a subcommand whose description keeps its lines."""
    return subparsers.add_parser(
        name, help=help, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """End the program with exit code 130 on Ctrl-C, and say that the same command resumes.

    Args:
        kept: the work that is kept, such as "finished scans are kept".
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; {kept}: run the same command again to resume", file=sys.stderr)
        raise SystemExit(130) from None
