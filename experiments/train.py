"""Train a network as a config says. A run that was stopped goes on when the same command is given again.

    python -m experiments.train experiments/configs/small.py --corpus CORPUS --out RUN

It takes all devices of this machine. For several machines see docs/scale.md.

Exit codes: 0 at the end, 2 for what cannot be used, 75 when SIGTERM or Ctrl-C stopped it after it saved its state.
"""

import argparse
import os
import sys
from ast import literal_eval
from pathlib import Path

from universeg_jax.cache import keep_compiled_code


def main() -> int:
    arguments = _arguments()
    keep_compiled_code()

    import jax  # after the compilation cache is set

    from universeg_jax.errors import InputError
    from universeg_jax.train.config import read_config
    from universeg_jax.train.devices import Devices
    from universeg_jax.train.loop import STOPPED, Stopped, train

    try:
        config = read_config(arguments.config, {name: _value(text) for name, text in arguments.set})
        if arguments.coordinator:
            jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
        elif arguments.distributed:
            jax.distributed.initialize()
        devices = Devices.all(support=arguments.support_devices)
        best = train(config, arguments.corpus, arguments.out, devices=devices, quiet=arguments.quiet)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        if arguments.coordinator or arguments.distributed:
            os._exit(2)  # the others may wait for this one, and to leave as usual is to wait for them
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED
    print(f"{best}: pass it to universeg-jax predict --weights")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a Python file with config = TrainConfig(...)")
    parser.add_argument("--corpus", type=Path, required=True, help="made with `universeg-jax prepare`")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("FIELD", "VALUE"), help="change a field of the config"
    )
    parser.add_argument("--support-devices", type=int, default=1, metavar="N", help="that share each support set")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no messages")
    several = parser.add_argument_group("one of several processes, which all get the same command")
    several.add_argument("--distributed", action="store_true", help="started by Slurm, GKE, Open MPI or on a TPU pod")
    several.add_argument("--coordinator", metavar="HOST:PORT", help="started otherwise: address of process 0")
    several.add_argument("--processes", type=int, metavar="N", help="with --coordinator: how many there are")
    several.add_argument("--process", type=int, metavar="I", help="with --coordinator: which this is, from 0")
    arguments = parser.parse_args()
    if len({arguments.coordinator is None, arguments.processes is None, arguments.process is None}) > 1:
        parser.error("--coordinator, --processes and --process are given together or not at all")
    return arguments


def _value(text: str):
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    sys.exit(main())
