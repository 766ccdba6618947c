"""Encode every image of the trials once, for all measurements that follow.

    python -m experiments.choice.encode --corpus CORPUS --encodings DIR

Images that are encoded already are skipped, so a stopped run resumes.
"""

import argparse
from pathlib import Path

from experiments.choice.stored_sam import StoredSAM
from experiments.choice.trials import make_trials, read
from experiments.command import run
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.segment.segmenter import Segmenter
from universeg_jax.weights.loading import PROTOSAM, load

SHAPE = dict(targets=8, draws=2, most=16, fewest=8)  # of the trials on sets that choices are made on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--encodings", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    corpus = Corpus(arguments.corpus)
    sam = StoredSAM(load(PROTOSAM), arguments.encodings)
    segmenter = Segmenter(ProtoSAM(sam), window=(0, 1))
    trials = list(make_trials(corpus, **SHAPE))
    for draw in range(SHAPE["draws"]):  # the first draw of all trials, then the second: a stopped run has whole draws
        for trial in trials:
            images, _ = read(corpus, trial.task, [*trial.targets, *trial.draws[draw]])
            for image in images:
                sam.encode(segmenter.view(image).pixels[None])
            print(trial.task.name, len(trial.targets), len(trial.draws[draw]), flush=True)


if __name__ == "__main__":
    run(main)
