"""Claim: kills, damage, full disks and hostile servers never mix results, never hang, and end in one named error.

    python -m experiments.faults --out experiments/results/faults

Kills come at random moments. Damage is one flipped bit in one file. A full disk is a limit on the size of files.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

from experiments.faults.record import Results, Tries
from universeg_jax.cache import keep_compiled_code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets results.json and table.md")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="(default: all)")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="kills of each command (default: 20)")
    parser.add_argument("--flips", type=int, default=50, metavar="N", help="flips in each kind of file (default: 50)")
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="pairs of each command (default: 5)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=float("inf"),
        metavar="S",
        help="time for the kills of a command (default: all)",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="the fault of this name (default: all)")
    arguments = parser.parse_args()
    packages = ("jax", "orbax-checkpoint", "tensorflow-datasets", "pillow", "nibabel")
    about = {
        "command": shlex.join(["python", "-m", "experiments.faults", *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "system": platform.system(),
    }
    results = Results(arguments.out, about)
    for group in arguments.groups:
        with tempfile.TemporaryDirectory() as place:
            _compile_once(Path(place) / "cache")
            for name, step in GROUPS[group](Path(place), arguments):
                if arguments.only not in ("", name):
                    continue
                try:
                    results.add(step())
                except Exception:  # one kind of fault must not end the others
                    traceback.print_exc()


def _compile_once(folder: Path) -> None:
    """Keep compiled code in a folder of this run, also for the processes that it starts; call it before JAX is used."""
    os.environ.setdefault("UNIVERSEG_JAX_CACHE", str(folder))
    keep_compiled_code()


Steps = Iterator[tuple[str, Callable[[], Tries]]]
"""Name of a fault, and the function that tries it."""


def _folder(place: Path, name: str) -> Path:
    (place / name).mkdir()
    return place / name


def kills(place: Path, arguments: argparse.Namespace) -> Steps:
    """Kill every command that writes an output folder."""
    from experiments.faults.commands import commands
    from experiments.faults.kills import killed_and_resumed, killed_with_old_results

    _warm_up()
    for command in commands(place):
        options = {"kills": arguments.kills, "most_seconds": arguments.seconds}
        step = partial(killed_and_resumed, command, _folder(place, f"in {command.name}"), **options)
        yield f"kills {command.name}", step
        if command.name == "predict":
            folder = _folder(place, "old and new")
            yield f"kills {command.name} --overwrite", partial(killed_with_old_results, command, folder, **options)


def pairs(place: Path, arguments: argparse.Namespace) -> Steps:
    """Start every command twice with one output folder."""
    from experiments.faults.commands import commands
    from experiments.faults.kills import two_at_once

    _warm_up()
    for command in commands(place):
        folder = _folder(place, f"in {command.name}")
        yield f"two {command.name}", partial(two_at_once, command, folder, times=arguments.pairs)


def page(place: Path, arguments: argparse.Namespace) -> Steps:
    """Kill the page."""
    from experiments.faults.page import killed_page

    for kind in ("pictures", "volumes"):
        yield f"kills app, {kind}", partial(killed_page, kind, place, kills=arguments.kills)


def _warm_up() -> None:
    """Import everything that the commands need, so that forked processes start at once; JAX computes in them only.

    Fine-tuning is without augmentation, which takes longest to compile.
    """
    import orbax.checkpoint  # noqa: F401
    import tensorboardX  # noqa: F401
    import tensorflow_datasets  # noqa: F401

    import universeg_jax.data.corpus.prepare
    import universeg_jax.deploy.artifact
    import universeg_jax.evaluate.report
    import universeg_jax.segment.report
    import universeg_jax.segment.segmenter
    import universeg_jax.segment.volume_folder
    import universeg_jax.train.finetune.before_after
    import universeg_jax.train.finetune.run as finetuning
    import universeg_jax.train.loop
    import universeg_jax.weights.conversion  # noqa: F401
    from universeg_jax.data.augment import Policy

    finetuning.FineTuning = partial(finetuning.FineTuning, policy=Policy.none())  # type: ignore[assignment,misc]


def damage(place: Path, arguments: argparse.Namespace) -> Steps:
    """Flip bits in pictures, volumes, arrays, JSON, weights and corpora."""
    import json

    import nibabel
    import numpy as np
    from PIL import Image

    from experiments.faults import child
    from experiments.faults.damage import flipped
    from universeg_jax import cache
    from universeg_jax.data.corpus import read as corpora
    from universeg_jax.data.readers import npz
    from universeg_jax.io.nifti import read_nifti
    from universeg_jax.io.pictures import read_image
    from universeg_jax.io.task_folder import read_class_names
    from universeg_jax.weights import export_universeg, load_torch, save_torch, store

    rng = np.random.default_rng(0)
    pixels = (40 * rng.random((40, 30))).astype(np.uint8) + np.arange(30, dtype=np.uint8)
    step = partial(flipped, flips=arguments.flips, place=place)
    for kind, checked in (("png", True), ("jpg", False), ("bmp", False), ("tif", False)):
        folder = _folder(place, kind)
        Image.fromarray(pixels).save(folder / f"a.{kind}")
        reader = partial(_read_one, read=read_image, name=f"a.{kind}")
        yield kind.upper(), partial(step, kind.upper(), folder, reader, pattern="*", checked=checked)
    for ending, checked in (("nii", False), ("nii.gz", True)):
        folder = _folder(place, ending)
        nibabel.save(nibabel.Nifti1Image(np.dstack([pixels] * 5).astype(np.int16), np.eye(4)), folder / f"a.{ending}")
        reader = partial(
            _read_one, read=lambda file: (read_nifti(file).voxels, read_nifti(file).affine), name=f"a.{ending}"
        )
        yield f"NIfTI .{ending}", partial(step, f"NIfTI .{ending}", folder, reader, pattern="*", checked=checked)
    folder = _folder(place, "npz")
    images = np.stack([pixels] * 3)
    np.savez_compressed(folder / "a.npz", images=images, labels=images > 30, ids=np.array(["a", "b", "c"]))
    with np.load(folder / "a.npz") as stored:
        arrays = {**stored, "labels": stored["labels"].astype(np.uint8)}
    np.savez_compressed(folder / "a.npz", **arrays)

    def read_npz(path: Path):
        npz.load.cache_clear()
        return npz.load(path / "a.npz")

    yield "arrays .npz", partial(step, "arrays .npz", folder, read_npz, pattern="*", checked=True)
    folder = _folder(place, "classes")
    (folder / "classes.json").write_text(json.dumps({str(i): f"class {i}" for i in range(9)}))
    reader = partial(_read_one, read=read_class_names, name="classes.json")
    yield "classes.json", partial(step, "classes.json", folder, reader, pattern="*", checked=False)
    weights = child.write_small_weights(place / "weights")

    def read_weights(path: Path):
        return export_universeg(store.load(path))

    yield "folder of weights", partial(step, "folder of weights", weights, read_weights, pattern="*", checked=True)
    folder = _folder(place, "torch")
    save_torch(read_weights(weights), folder / "a.pt")
    reader = partial(_read_one, read=load_torch, name="a.pt")
    yield "PyTorch file", partial(step, "PyTorch file", folder, reader, pattern="*", checked=True)
    compiled = _folder(place, "compiled")
    for name in ("one", "two"):
        (compiled / f"{name}{cache.ENTRY}").write_bytes(rng.bytes(1000))
        (compiled / f"{name}{cache.TIME}").write_bytes(bytes(8))
    cache.record_entries(compiled)

    def read_compiled(path: Path) -> list[str]:
        """Names of entries with another content; entries that were removed have none."""
        cache.remove_unsound(path)
        left = [file.name for file in path.glob(f"*{cache.ENTRY}")]
        return [name for name in left if (path / name).read_bytes() != (compiled / name).read_bytes()]

    yield "compiled code", partial(step, "compiled code", compiled, read_compiled, pattern="*", checked=True)
    task = child.write_small_task(place / "task")
    options = ["--workers", "1", "-q", "--licence", "none", "--name", "discs"]
    prepare = ["prepare", str(task / "support"), "-o", str(place / "corpus"), *options]
    subprocess.run([sys.executable, "-m", "universeg_jax", *prepare], check=True)  # JAX is in use here: no fork

    def read_corpus(path: Path):
        corpora.open_images.cache_clear()
        corpus = corpora.Corpus(path, resolution=64)
        pairs = [corpus.read(t, example.image) for t in corpus.tasks for example in corpus.examples(t)]
        return [t.name for t in corpus.tasks], pairs

    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for pattern in ("*.array_record*", "index.npz"):
        yield (
            f"corpus {pattern}",
            partial(step, f"corpus {pattern}", place / "corpus", read_corpus, pattern=pattern, checked=True),
        )
    for pattern in ("dataset.json", "features.json", "dataset_info.json"):
        yield (
            f"corpus {pattern}",
            partial(step, f"corpus {pattern}", place / "corpus", read_corpus, pattern=pattern, checked=False),
        )


def _read_one(folder: Path, *, read: Callable, name: str):
    return read(folder / name)


def disks(place: Path, arguments: argparse.Namespace) -> Steps:
    """Fill the disk at several sizes of files."""
    from experiments.faults.commands import commands

    _warm_up()
    for command in commands(place):
        yield f"disk {command.name}", partial(_filled, command, _folder(place, f"in {command.name}"))


def _filled(command, place: Path) -> Tries:
    from experiments.faults import child

    outcomes = []
    for size in (1, 10, 100, 1000, 4000):
        out, log = place / str(size), place / "log"
        log.write_bytes(b"")
        code = child.run(command.run(out), log, most_bytes=size)
        complete = (out / command.complete).is_file()
        said = log.read_text(errors="replace")
        if "Traceback" in said:
            outcomes.append("traceback")
        elif code == 0:
            outcomes.append("" if complete else "exit code 0 without results")
        else:
            outcomes.append("" if code == 2 and not complete else f"exit code {code}")
    promise = "exit code 2, no traceback and no results; or results that are complete"
    return Tries.of("full disk", command.name, promise, outcomes)


def servers(place: Path, arguments: argparse.Namespace) -> Steps:
    """Download from hostile servers."""
    from experiments.faults import servers as module
    from universeg_jax.weights import fetch

    fetch.PATIENCE = 2.0
    for tries in module.hostile(place, times=3):
        yield tries.fault, partial(lambda found: found, tries)


GROUPS = {"servers": servers, "damage": damage, "disks": disks, "pairs": pairs, "kills": kills, "page": page}

if __name__ == "__main__":
    main()
