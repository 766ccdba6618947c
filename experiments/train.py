"""Train a network as a config says. A run that was stopped goes on when the same command is given again.

    python -m experiments.train experiments/configs/small.py --corpus CORPUS --out RUN

Exit codes: 0 at the end, 2 for what cannot be used, 75 when SIGTERM stopped it after it saved its state.
"""

import argparse
import sys
from ast import literal_eval
from pathlib import Path

from universeg_jax.cache import keep_compiled_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a Python file with config = TrainConfig(...)")
    parser.add_argument("--corpus", type=Path, required=True, help="made with `universeg-jax prepare`")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--set", nargs=2, action="append", default=[], metavar=("FIELD", "VALUE"), help="change a field"
    )
    parser.add_argument("--support-devices", type=int, default=1, metavar="N", help="that share each support set")
    parser.add_argument("--distributed", action="store_true", help="one of several processes (jax.distributed)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    arguments = parser.parse_args()
    keep_compiled_code()

    import jax  # after the compilation cache is set

    from universeg_jax.errors import InputError
    from universeg_jax.train.config import read_config
    from universeg_jax.train.devices import Devices
    from universeg_jax.train.loop import STOPPED, Stopped, train

    if arguments.distributed:
        jax.distributed.initialize()
    try:
        config = read_config(arguments.config, {name: _value(text) for name, text in arguments.set})
        devices = Devices.all(support=arguments.support_devices)
        best = train(config, arguments.corpus, arguments.out, devices=devices, quiet=arguments.quiet)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED
    print(f"{best}: pass it to universeg-jax predict --weights")
    return 0


def _value(text: str):
    try:
        return literal_eval(text)
    except (SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    sys.exit(main())
