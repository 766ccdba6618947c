"""`universeg-jax train`: train a network from a configuration."""

import argparse
import os
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

from universeg_jax.cli.shared import add_command, add_out, add_quiet
from universeg_jax.errors import InputError

DESCRIPTION = """\
Train a network from a configuration, on all devices of this machine. The same command resumes a stopped run.

  universeg-jax train experiments/configs/small.py --corpus CORPUS --out RUN

docs/scale.md describes training on several machines.

Exit codes: 0 at the end, 2 for unusable input, 75 when SIGTERM or Ctrl-C stopped the run after it saved its state.
"""


def add_parser(subparsers) -> None:
    parser = add_command(subparsers, "train", help="train a network from a configuration", description=DESCRIPTION)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="Python file with config = TrainConfig(...)")
    parser.add_argument(
        "--corpus",
        type=Path,
        required=True,
        metavar="CORPUS",
        help="corpus that `universeg-jax prepare` made, or the folder of scans of an EncoderTrainConfig",
    )
    add_out(parser, help="folder of the run", metavar="RUN")
    parser.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("FIELD", "VALUE"), help="change a field of the config"
    )
    parser.add_argument(
        "--support-devices",
        type=int,
        default=1,
        metavar="N",
        help="number of devices that share each support set (default: %(default)s)",
    )
    add_quiet(parser)
    several = parser.add_argument_group("one of several processes, which all get the same command")
    several.add_argument("--distributed", action="store_true", help="started by Slurm, GKE, Open MPI or on a TPU pod")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="started otherwise: address of process 0")
    several.add_argument("--processes", type=int, metavar="N", help="with --coordinator: number of processes")
    several.add_argument("--process", type=int, metavar="I", help="with --coordinator: index of this process, from 0")
    parser.set_defaults(run=run, extra="train")


def run(arguments: argparse.Namespace) -> None:
    """Run `train`.

    Raises:
        InputError: unusable arguments.
    """
    # Imported here so that --help need not wait for JAX.
    import jax

    from universeg_jax.train.config_file import read_config
    from universeg_jax.train.loop import STOPPED, Stopped, train
    from universeg_jax.train.step import Devices
    from universeg_jax.util.checks import check_number

    if len({arguments.coordinator is None, arguments.processes is None, arguments.process is None}) > 1:
        raise InputError("--coordinator, --processes and --process belong together: pass all three or none")
    if arguments.coordinator is not None:
        check_number("--processes", arguments.processes, least=1, whole=True)
        check_number("--process", arguments.process, least=0, below=arguments.processes, whole=True)
    try:
        config = read_config(arguments.config, {name: _value(text) for name, text in arguments.set})
        if arguments.coordinator:
            jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
        elif arguments.distributed:
            jax.distributed.initialize()
        devices = Devices.all(support=arguments.support_devices)
        best = train(config, arguments.corpus, arguments.out, devices=devices, quiet=arguments.quiet)
    except (InputError, OSError) as error:
        if arguments.coordinator or arguments.distributed:
            print(f"error: {error}", file=sys.stderr, flush=True)
            os._exit(2)  # a usual exit would wait for the other processes, which may wait for this one
        raise
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        raise SystemExit(STOPPED) from None
    if not arguments.quiet:
        print(f"{best}: pass it to universeg-jax predict --weights")


def _value(text: str) -> Any:
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text
