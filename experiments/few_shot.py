"""Measure ProtoSAM, UniverSeg and their mean by the few-shot protocol, with several ways to choose support slices.

    python -m experiments.few_shot SCANS --modality MR --out experiments/results/few_shot

SCANS is a folder of labelled volumes, such as CHAOS. A killed run resumes. Encodings of slices are kept in --encodings.
"""

import argparse
import shlex
import sys
from pathlib import Path

from universeg_jax.cache import keep_compiled_code

MODELS = ("protosam", "universeg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path, metavar="SCANS", help="folder of labelled volumes")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder of the tables")
    parser.add_argument("--modality", help="CT or MR, if the files do not say")
    parser.add_argument("--encodings", type=Path, metavar="FOLDER", help="keep encoded slices there, 14 MB each")
    parser.add_argument(
        "--sam", default="lite-medsam", metavar="WEIGHTS", help="SAM of ProtoSAM (default: %(default)s)"
    )
    parser.add_argument("--features", metavar="WEIGHTS", help="encoder of the features (default: the SAM's)")
    parser.add_argument("--universeg", default="open-v4", metavar="WEIGHTS", help="UniverSeg (default: %(default)s)")
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=MODELS, help="models to measure (default: both, and their mean)"
    )
    parser.add_argument(
        "--slices",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="support slices of ProtoSAM: 0 for one of each third, N for the N nearest in height (default: 0)",
    )
    parser.add_argument(
        "--universeg-slices",
        type=int,
        nargs="+",
        default=[5],
        metavar="N",
        help="support slices of UniverSeg (default: 5)",
    )
    parser.add_argument("--scan-names", nargs="+", metavar="NAME", help="only these scans (default: all)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="support choices (default: 1)")
    parser.add_argument(
        "--so-far", action="store_true", help="write tables of the measurements in OUT, measure nothing"
    )
    arguments = parser.parse_args()
    keep_compiled_code()

    from universeg_jax.data.stacks import read_stacks
    from universeg_jax.evaluate.few_shot.report import write_report
    from universeg_jax.evaluate.few_shot.runner import FewShotProtocol, read_scores, run_few_shot
    from universeg_jax.segment.report import environment

    protocol = FewShotProtocol(seeds=arguments.seeds)
    if arguments.so_far:
        scores, skipped = read_scores(arguments.out), []
    else:
        stacks = read_stacks(arguments.scans, modality=arguments.modality, progress=True)
        if arguments.scan_names:
            stacks = [stack for stack in stacks if stack.name in arguments.scan_names]
        scores, skipped = run_few_shot(stacks, methods(arguments), protocol, arguments.out, progress=True)
    command = shlex.join(["python", "-m", "experiments.few_shot", *sys.argv[1:]])
    tables = write_report(arguments.out, scores, skipped, protocol, about={"command": command, **environment()})
    print(*(f"{table.text()}\n" for table in tables[:2]), sep="\n")


def methods(arguments: argparse.Namespace) -> list:
    """Return each model with each choice of slices, the mean of both models, and each on whole volumes."""
    from universeg_jax.evaluate.few_shot.methods import (
        InContextSlices,
        MeanOfMethods,
        NearestInHeight,
        PartOfOrgan,
        WholeVolume,
    )
    from universeg_jax.weights import load

    def choices(numbers: list[int]) -> list:
        return [PartOfOrgan() if number == 0 else NearestInHeight(number) for number in numbers]

    found = []
    if "protosam" in arguments.models:
        protosam, digest = _protosam(arguments)
        found += [InContextSlices(protosam, "ProtoSAM", choice, digest) for choice in choices(arguments.slices)]
    if "universeg" in arguments.models:
        universeg = load(arguments.universeg)
        found += [InContextSlices(universeg, "UniverSeg", choice) for choice in choices(arguments.universeg_slices)]
    if len(arguments.models) == len(MODELS):
        found.append(MeanOfMethods((found[0], found[-1]), (1.0, 1.0)))
    return [*found, *(WholeVolume(method) for method in found)]


def _protosam(arguments: argparse.Namespace) -> tuple:
    """Return ProtoSAM, which keeps its encodings, and its digest."""
    from universeg_jax.evaluate.few_shot.encodings import store_encodings
    from universeg_jax.evaluate.methods import digest
    from universeg_jax.models.protosam.encoder import extractor_of
    from universeg_jax.models.protosam.pipeline import ProtoSAM
    from universeg_jax.weights import load

    features = None if arguments.features is None else extractor_of(load(arguments.features))
    protosam = ProtoSAM(load(arguments.sam), features=features)
    found = digest(protosam)
    store_encodings(protosam, arguments.encodings, capacity=2**29)
    return protosam, found


if __name__ == "__main__":
    main()
