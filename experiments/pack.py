"""Make datasets small enough to send to a machine that is lent for minutes.

    python -m experiments.pack FOLDER --out PACK                  here: NAME.npz and NAME.json in, the same out
    universeg-jax prepare PACK --out CORPUS                       there
    python -m experiments.train CONFIG --corpus CORPUS --out RUN  there, in each call

Files are compressed with LZMA. Of a large dataset, images are taken evenly over their order. A run resumes from call to
call, on any machine, if RUN is copied along. Send SIGTERM to a run that must end: it saves first.
"""

import argparse
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.command import run
from universeg_jax.data.readers import npz
from universeg_jax.errors import InputError


def pack(folder: Path, out: Path, *, at_most: int, mebibytes: float) -> float:
    """Write the datasets of a folder to `out`, which must not exist, and return their size in MiB.

    Args:
        at_most: most images of a dataset.
        mebibytes: most MiB of all files together.

    Raises:
        InputError: `at_most` below 1, no datasets, an unreadable one, or more than `mebibytes`. Nothing is left of
            `out` then.
    """
    if at_most < 1:
        raise InputError(f"at_most={at_most}: pass 1 image of a dataset or more")
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise InputError(f"{folder}: holds no NAME.npz; pass a folder of such")
    if out.exists():
        raise InputError(f"{out}: exists already; choose another --out")
    out.mkdir(parents=True)
    try:
        for file in tqdm(files, unit="dataset"):
            _pack_one(file, out / file.name, at_most)
            if (about := file.with_suffix(".json")).exists():
                shutil.copy(about, out)
        size = sum(file.stat().st_size for file in out.iterdir()) / 2**20
        if size > mebibytes:
            raise InputError(
                f"{size:.1f} MiB with at_most={at_most} images of a dataset, the limit is {mebibytes} MiB: pass a "
                "smaller --at-most or a larger --mib"
            )
    except BaseException:
        shutil.rmtree(out)
        raise
    return size


def _pack_one(file: Path, out: Path, at_most: int) -> None:
    arrays = npz.load(file)
    count = len(arrays["ids"])
    taken = np.linspace(0, count - 1, min(count, at_most)).round().astype(int)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.save(stream, array[taken], allow_pickle=False)
            archive.writestr(f"{name}.npy", stream.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="PACK")
    parser.add_argument("--at-most", type=int, default=300, metavar="N", help="most images of a dataset (default: 300)")
    parser.add_argument("--mib", type=float, default=40.0, help="most MiB of all files (default: 40)")
    arguments = parser.parse_args()
    size = pack(arguments.folder, arguments.out, at_most=arguments.at_most, mebibytes=arguments.mib)
    print(f"{arguments.out}: {size:.1f} MiB")


if __name__ == "__main__":
    run(main)
