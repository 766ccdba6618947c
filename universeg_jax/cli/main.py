"""The command `universeg-jax`."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence

from universeg_jax.cache import keep_compiled_code
from universeg_jax.cli import app, convert, demo, evaluate, export, finetune, predict, prepare, train, weights
from universeg_jax.errors import InputError
from universeg_jax.util.checks import check_text
from universeg_jax.util.imports import install_command
from universeg_jax.util.outputs import patient_output, printable

COMMANDS = (demo, app, predict, prepare, train, finetune, evaluate, export, convert, weights)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return the exit code: 0, 2 for unusable input, 130 when interrupted."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv:
        _parser().print_help(sys.stderr)
        return 2
    with patient_output() as output:
        arguments = _parser().parse_args(argv, argparse.Namespace(command_line=shlex.join(["universeg-jax", *argv])))
        keep_compiled_code()
        code = _run(arguments, argv)
    if output.failure and getattr(arguments, "prints", False):
        print(f"error: standard output: {output.failure}", file=sys.stderr)
        return code or 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="universeg-jax", description="In-context medical image segmentation: show examples, segment new images."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def _run(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    try:
        for text in (*argv, os.getcwd()):  # reports hold both
            check_text(text)
        arguments.run(arguments)
    except InputError as error:
        return _fail(str(error))
    except OSError as error:  # a full disk, a folder that vanished
        place = error.filename or getattr(arguments, "out", None)
        return _fail(str(error) if place is None else f"{place}: {error.strerror or error}")
    except MemoryError as error:
        return _fail(f"the memory is full ({error}): pass fewer or smaller images, or less --ensemble")
    except ModuleNotFoundError as error:
        extra = getattr(arguments, "extra", None)
        if extra is None or (error.name or "").startswith("universeg_jax"):
            raise
        return _fail(f"this command needs {error.name}: {install_command(extra)}")
    except KeyboardInterrupt:
        print("interrupted; no results were written", file=sys.stderr)
        return 130
    return 0


def _fail(message: str) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return 2
