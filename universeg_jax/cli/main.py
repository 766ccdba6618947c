"""The command `universeg-jax`."""

import argparse
import shlex
import sys
from collections.abc import Sequence

from universeg_jax.cache import keep_compiled_code
from universeg_jax.cli import convert, demo, evaluate, export, finetune, predict, prepare, weights
from universeg_jax.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code: 0, 2 for unusable input, 130 when interrupted."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="universeg-jax", description="In-context medical image segmentation: show examples, segment new images."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (demo, predict, prepare, finetune, evaluate, export, convert, weights):
        command.add_parser(subparsers)
    arguments = parser.parse_args(argv, argparse.Namespace(command_line=shlex.join(["universeg-jax", *argv])))
    keep_compiled_code()
    try:
        arguments.run(arguments)
    except (InputError, OSError) as error:  # OSError: a full disk, a folder that vanished
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = getattr(arguments, "extra", None)
        if extra is None or (error.name or "").startswith("universeg_jax"):
            raise
        print(f'error: this command needs {error.name}: pip install "universeg-jax[{extra}]"', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; no results were written", file=sys.stderr)
        return 130
    return 0
