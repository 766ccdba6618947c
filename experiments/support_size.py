"""Claim: Dice grows with the support size at inference, fastest up to 4; ensembles of 5 draws add a hundredth or two.

    python -m experiments.support_size --corpus CORPUS --out experiments/results/support_size

One network is measured at support sizes 1 to 64, and ensembles of 5 random support sets at sizes 1 to 16. Tasks and
protocol are as in experiments/evaluate.py, with 8 targets a task and 2 draws. (The paper trained one network for each
support size and averaged 5 draws over 17 tasks.) Other datasets of CORPUS are too small for splits: they are
cross-validated one image at a time, at sizes 1 to 4 with 1 draw, and reported in small/. Two quiet CPU cores take ten
minutes.
"""

from dataclasses import replace
from pathlib import Path

from experiments.command import run
from experiments.comparison import held_out, make_parser, network_of, protocol_of, report, too_small
from universeg_jax.evaluate.methods import Ensemble
from universeg_jax.evaluate.runner import evaluate, merged

MEMBERS = 5
ENSEMBLED = (1, 2, 4, 8, 16)
SMALL_SIZES, ONE_AT_A_TIME = (1, 2, 4), 1000


def main() -> None:
    arguments = make_parser(__doc__, support=[1, 2, 4, 8, 16, 32, 64], draws=2, targets=8).parse_args()
    network, protocol = network_of(arguments), protocol_of(arguments)
    methods = [network, Ensemble(network, MEMBERS)]
    data, tasks = held_out(arguments)
    ensembled = replace(protocol, support_sizes=tuple(s for s in arguments.support if s in ENSEMBLED))
    evaluation = merged(
        evaluate(data, methods[:1], protocol, arguments.out, tasks=tasks, progress=True),
        evaluate(data, methods[1:], ensembled, arguments.out, tasks=tasks, progress=True),
    )
    report(arguments, evaluation, data, methods, protocol)

    others = too_small(data, tasks)
    if others and not arguments.tasks:
        arguments.out = Path(arguments.out) / "small"
        protocol = replace(protocol, support_sizes=SMALL_SIZES, draws=1, folds=ONE_AT_A_TIME)
        evaluation = evaluate(data, methods, protocol, arguments.out, tasks=others, progress=True)
        report(arguments, evaluation, data, methods, protocol)


if __name__ == "__main__":
    run(main)
