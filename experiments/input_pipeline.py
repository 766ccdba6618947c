"""Measure how many images a second the input pipeline delivers, by number of worker processes.

    python -m experiments.input_pipeline --corpus CORPUS --out experiments/results

CORPUS is any folder that `universeg-jax prepare` made. Run nothing else meanwhile: the pipeline takes all cores. It
takes a minute.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from experiments.benchmark.machine import machine
from experiments.command import run
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.data.episodes.draw import Episodes, EpisodeSource
from universeg_jax.data.episodes.stream import batches


def measure(source: EpisodeSource, *, batch_size: int, workers: int, seconds: float) -> dict:
    """Measure seconds to the first batch, and after it images a second, and seconds of a batch with their deviation.

    Without workers it also measures images for each second of a processor, which other work hardly changes.
    """
    begin = time.perf_counter()
    iterator = batches(source, batch_size=batch_size, workers=workers)
    first = next(iterator)
    first_seconds = time.perf_counter() - begin
    for _ in range(2 * workers + 2):  # batches read ahead during the wait for the first one
        next(iterator)
    times, begin, processor = [time.perf_counter()], time.perf_counter(), time.process_time()
    while times[-1] - begin < seconds:
        next(iterator)
        times.append(time.perf_counter())
    processor = time.process_time() - processor
    iterator.close()
    taken, images = np.diff(times), batch_size * (1 + first.support_mask.shape[1])
    row = {
        "workers": workers,
        "first_batch_seconds": first_seconds,
        "images_per_second": images / float(taken.mean()),
        "batch_seconds": float(taken.mean()),
        "batch_deviation": float(taken.std()),
    }
    return row if workers else row | {"images_per_processor_second": images * len(taken) / processor}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--resolution", type=int, default=128, choices=(64, 128, 256))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--support-size", type=int, default=16)
    parser.add_argument("--workers", type=int, nargs="+", default=(0, 1, 2), metavar="N")
    parser.add_argument("--seconds", type=float, default=10, help="for each number of workers (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of input_pipeline.json")
    arguments = parser.parse_args()

    corpus = Corpus(arguments.corpus, resolution=arguments.resolution)
    source = Episodes(corpus, seed=0, support_size=arguments.support_size, held_out=())  # nothing is trained
    rows = []
    for workers in arguments.workers:
        rows.append(measure(source, batch_size=arguments.batch_size, workers=workers, seconds=arguments.seconds))
        print(json.dumps(rows[-1]), flush=True)
    results = {
        "command": "python -m experiments.input_pipeline --corpus CORPUS --out DIR",
        "options": {name: getattr(arguments, name) for name in ("resolution", "batch_size", "support_size", "seconds")},
        "corpus": {"datasets": len(corpus.datasets), "tasks": len(source.tasks)},
        "machine": machine(),
        "throughput": rows,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "input_pipeline.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
