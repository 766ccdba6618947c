"""Run `universeg-jax` in forked processes, which need not import JAX again, and kill them or limit their files."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from universeg_jax.cli.main import main


def start(argv: Sequence[str], log: Path, *, most_bytes: int | None = None) -> int:
    """Start a command in a forked process, its output in a file; returns the id of the process.

    Args:
        most_bytes: size of the largest file that the process may write; larger ones fail as on a full disk.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))  # noqa: SIM115
        if most_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        code = main(argv)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    except BaseException as error:
        print(f"traceback: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        os._exit(code)


def finish(child: int) -> int:
    """Wait for a process and return its exit code; negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(argv: Sequence[str], log: Path, *, most_bytes: int | None = None) -> int:
    """Run a command in a forked process and return its exit code."""
    return finish(start(argv, log, most_bytes=most_bytes))


def in_child(compute: Callable[[], str]) -> str:
    """Compute a text in a forked process, so that this one never uses TensorStore."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, compute().encode()[:4000])
        except BaseException as error:
            os.write(writer, f"{type(error).__name__}: {error}".encode()[:4000])
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as stream:
        text = stream.read()
    finish(child)
    return text


def run_and_kill(argv: Sequence[str], log: Path, after: float) -> bool:
    """Start a command and kill it after some seconds; tells whether it was still running."""
    child = start(argv, log)
    ends = time.monotonic() + after
    while time.monotonic() < ends:
        done, _ = os.waitpid(child, os.WNOHANG)
        if done:
            return False
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


_WEIGHTS = """
import sys
import universeg_jax as uj
config = uj.UniverSegConfig(encoder_features=((2, 2), (2, 2)), input_size=16)
uj.weights.save(uj.universeg(config=config), sys.argv[1])
"""


def write_small_weights(folder: Path) -> Path:
    """Write weights of a UniverSeg of two small stages, which compiles in a second.

    Another process writes them: TensorStore ends every process that is forked after it was used.
    """
    subprocess.run([sys.executable, "-c", _WEIGHTS, str(folder)], check=True)
    return folder


def write_small_task(folder: Path, *, targets: int = 6) -> Path:
    """Write support/images, support/masks, targets/ and labels/ of bright discs."""
    rng = np.random.default_rng(0)
    for i in range(6 + targets):
        rows, columns = np.mgrid[:24, :20]
        inside = (rows - rng.uniform(8, 14)) ** 2 + (columns - rng.uniform(8, 12)) ** 2 < rng.uniform(25, 36)
        places = ("support/images", "support/masks") if i < 6 else ("targets", "labels")
        for place, array in zip(places, (np.where(inside, 200, 40), np.where(inside, 255, 0)), strict=True):
            (folder / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(folder / place / f"{i:02d}.png")
    return folder
