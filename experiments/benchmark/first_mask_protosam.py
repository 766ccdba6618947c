"""Time to ProtoSAM's masks of a few images: whole processes of two versions of this library, in turn.

    git worktree add ../earlier COMMIT
    python -m experiments.benchmark.first_mask_protosam --earlier ../earlier --out experiments/results

Each round runs the earlier version and this one, each with an empty cache of compiled code ("cold") and again ("warm").
The job is the shipped example fetal-head with LiteMedSAM, which is downloaded if it is not there.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from experiments.benchmark.first_mask import EXAMPLES, UNITS, timed
from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.errors import InputError
from universeg_jax.weights import load, save

RUNS = ("cold", "warm")


def one_round(folder: Path, trees: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Run both versions twice, first with an empty cache and then with a full one.

    Args:
        folder: holds `weights` and `targets`, and takes results.
        trees: the checkout of each version.
    """
    found = {}
    for version, tree in trees.items():
        cache = folder / "cache" / version
        shutil.rmtree(cache, ignore_errors=True)
        command = [sys.executable, "-m", "universeg_jax", "predict", "--quiet", "--overwrite", "--model", "protosam"]
        command += ["--weights", str(folder / "weights"), "-s", str(EXAMPLES / "support")]
        command += ["-i", str(folder / "targets"), "-o", str(folder / version)]
        environment = {"UNIVERSEG_JAX_CACHE": str(cache), "PYTHONPATH": str(tree.absolute())}
        for name in RUNS:
            found[f"{version} {name}"] = timed(command, environment)
    return found


def table(rounds: list[dict[str, dict[str, float]]]) -> str:
    """Write medians, and the ratios to the earlier version within a round, as a Markdown table."""
    lines = ["| run | seconds | processor seconds | seconds / earlier | processor / earlier |", "|---|---|---|---|---|"]
    for side in rounds[0]:
        wall, processor = (statistics.median(row[side][unit] for row in rounds) for unit in UNITS)
        earlier = f"earlier {side.split()[1]}"
        parts = [statistics.median(row[side][unit] / row[earlier][unit] for row in rounds) for unit in UNITS]
        lines.append(f"| {side} | {wall:.1f} | {processor:.1f} | {parts[0]:.2f} | {parts[1]:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of first_mask_protosam.{json,md}"
    )
    parser.add_argument("--earlier", type=Path, required=True, metavar="DIR", help="checkout of an earlier version")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side (default: %(default)s)")
    parser.add_argument("--images", type=int, default=4, help="images to segment (default: %(default)s)")
    arguments = parser.parse_args()
    if not (arguments.earlier / "universeg_jax").is_dir():
        raise InputError(f"--earlier {arguments.earlier}: holds no universeg_jax; pass a checkout of this repository")
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # a cache of the caller would make every run warm
    trees = {"earlier": arguments.earlier, "now": Path(__file__).parents[2]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "targets").mkdir()
        for path in sorted((EXAMPLES / "targets").iterdir())[: arguments.images]:
            shutil.copy(path, folder / "targets")
        save(load("lite-medsam"), folder / "weights")
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append(one_round(folder, trees))
            print(json.dumps(rounds[-1]), flush=True)
        paths = [sorted((folder / version / "masks").iterdir()) for version in trees]
        same = all(ours.read_bytes() == theirs.read_bytes() for ours, theirs in zip(*paths, strict=True))
    command = shlex.join(["python", "-m", "experiments.benchmark.first_mask_protosam", *sys.argv[1:]])
    results = {
        "command": command,
        "machine": machine(),
        "load_average": os.getloadavg()[0],
        "same_masks": same,
        "rounds": rounds,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "first_mask_protosam.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "first_mask_protosam.md").write_text(
        f"# Time to ProtoSAM's masks of {arguments.images} images\n\n`{command}`. Medians of {len(rounds)} rounds, on "
        f"{results['machine']['cores']} cores with a load average of {os.getloadavg()[0]:.1f}. The masks "
        f"of both versions are {'the same' if same else 'not the same'}.\n\n{table(rounds)}",
        encoding="utf-8",
    )


if __name__ == "__main__":
    run(main)
