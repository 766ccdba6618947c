"""Claim: the default weights are ahead of those before them also on held-out sets that are too small to be split.

    python -m experiments.small_sets --corpus CORPUS --against open-v1 open-v0 --out experiments/results/small_sets

The sets of CORPUS beside those of experiments/evaluate.py have 3 to 30 images: each is segmented by up to 16 others of
its set, at most 8 images a task. No weights have learned from any, but open-v0 has seen livers in CT (sa_ct_liver),
where slices of a patient are not told apart. Weights are compared case by case. Two quiet CPU cores take a minute for
each of them.
"""

from dataclasses import replace

from experiments.command import run
from experiments.comparison import held_out, make_parser, named, network_of, protocol_of, report
from experiments.support_size import ONE_AT_A_TIME
from universeg_jax.evaluate.evaluation import evaluate
from universeg_jax.evaluate.summary import Condition


def main() -> None:
    parser = make_parser(__doc__, support=[16], draws=1, targets=8)
    parser.add_argument("--against", metavar="WEIGHTS", nargs="+", default=[], help="other weights, to compare")
    arguments = parser.parse_args()
    network = network_of(arguments)
    against = [weights for weights in arguments.against if weights != arguments.weights]
    methods = [network, *map(named, against)]
    data, held = held_out(arguments)
    others = [task for task in data.tasks if task.dataset not in {task.dataset for task in held}]
    protocol = replace(protocol_of(arguments), folds=ONE_AT_A_TIME)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=others, progress=True)
    baseline = Condition(methods[-1].name, protocol.support_sizes[-1], None) if against else None
    report(arguments, evaluation, data, methods, protocol, baseline=baseline)


if __name__ == "__main__":
    run(main)
