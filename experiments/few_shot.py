"""Measure ProtoSAM, UniverSeg and their mean by the few-shot protocol, with several ways to choose support slices.

    python -m experiments.few_shot SCANS --encodings ENC --probabilities PROB --out experiments/results/few_shot

SCANS is a folder of labelled volumes, such as CHAOS. A killed run resumes. With --encodings each slice is encoded once
over all runs. With --probabilities each model runs once, so that other means and filters take seconds.
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
    parser.add_argument("--probabilities", type=Path, metavar="FOLDER", help="keep the results of each model there")
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
        nargs="+",
        default=["thirds"],
        metavar="CHOICE",
        help="support slices of both models: thirds, all, or N for the N nearest in height (default: thirds)",
    )
    parser.add_argument(
        "--propagate", action="store_true", help="also segment slices that stay empty from their neighbours in the scan"
    )
    parser.add_argument(
        "--match", action="store_true", help="match the brightness of the labelled slices to each query scan"
    )
    parser.add_argument("--folds", type=int, nargs="+", metavar="N", help="only these folds, from 0 (default: all)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="support choices (default: 1)")
    parser.add_argument(
        "--so-far", action="store_true", help="write tables of the measurements in OUT, measure nothing"
    )
    arguments = parser.parse_args()
    if arguments.match and "protosam" not in arguments.models:
        parser.error("--match: needs the encoder of ProtoSAM; add protosam to --models")
    keep_compiled_code()

    from universeg_jax.data.stacks import read_stacks
    from universeg_jax.evaluate.few_shot.report import write_report
    from universeg_jax.evaluate.few_shot.runner import FewShotProtocol, read_scores, run_few_shot
    from universeg_jax.segment.report import environment

    only = None if arguments.folds is None else tuple(arguments.folds)
    protocol = FewShotProtocol(seeds=arguments.seeds, only=only)
    if arguments.so_far:
        scores, skipped = read_scores(arguments.out), []
    else:
        stacks = read_stacks(arguments.scans, modality=arguments.modality, progress=True)
        scores, skipped = run_few_shot(stacks, methods(arguments), protocol, arguments.out, progress=True)
    command = shlex.join(["python", "-m", "experiments.few_shot", *sys.argv[1:]])
    tables = write_report(arguments.out, scores, skipped, protocol, about={"command": command, **environment()})
    print(*(f"{table.text()}\n" for table in tables[:2]), sep="\n")


def methods(arguments: argparse.Namespace) -> list:
    """Return each model with each choice of slices, the mean of both models, and each with filters."""
    from universeg_jax.evaluate.few_shot.brightness import MatchedBrightness
    from universeg_jax.evaluate.few_shot.methods import InContextSlices, Propagation, WholeVolume
    from universeg_jax.evaluate.few_shot.support import support_choice

    networks = [network(arguments, name) for name in MODELS if name in arguments.models]
    found = []
    for words in arguments.slices:
        choice = support_choice(words)
        plain = [InContextSlices(*both, choice, digest) for *both, digest in networks]
        methods = [stored(arguments, method) for method in plain]
        if arguments.match:  # outside the store: unchanged slices have the stored result
            methods = [MatchedBrightness(method, networks[0][0]) for method in methods]
        methods = with_mean(methods)
        volumes = [WholeVolume(method) for method in methods]
        found += [*methods, *volumes]
        if arguments.propagate:
            found.append(stored(arguments, Propagation(volumes[-1], with_mean(plain)[-1])))
    return found


def with_mean(methods: list) -> list:
    """Return methods, and the mean of several."""
    from universeg_jax.evaluate.few_shot.methods import MeanOfMethods

    return [*methods, MeanOfMethods(tuple(methods), (1.0,) * len(methods))] if len(methods) > 1 else methods


def stored(arguments: argparse.Namespace, method):
    """Return a method that keeps its probabilities, if a folder is given for them."""
    from universeg_jax.evaluate.few_shot.store import StoredMethod

    return method if arguments.probabilities is None else StoredMethod(method, arguments.probabilities)


def network(arguments: argparse.Namespace, name: str) -> tuple:
    """Return a model, its name in tables, and its digest. ProtoSAM keeps its encodings."""
    from universeg_jax.evaluate.few_shot.store import store_encodings
    from universeg_jax.evaluate.methods import digest
    from universeg_jax.models.protosam.encoder import extractor_of
    from universeg_jax.models.protosam.pipeline import ProtoSAM
    from universeg_jax.weights import load

    if name == "universeg":
        universeg = load(arguments.universeg)
        return universeg, "UniverSeg", digest(universeg)
    features = None if arguments.features is None else extractor_of(load(arguments.features))
    protosam = ProtoSAM(load(arguments.sam), features=features)
    found = digest(protosam)
    store_encodings(protosam, arguments.encodings, capacity=2**29)
    return protosam, "ProtoSAM", found


if __name__ == "__main__":
    main()
