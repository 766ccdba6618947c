"""Claim: an ensemble adds a hundredth or two, similar examples more, augmentation at test time nothing.

    python -m experiments.inference --corpus CORPUS --out experiments/results/methods

Three methods are compared case by case with the plain network, on the same targets and the same random support:

- an ensemble of random support sets
- intensity augmentation of targets and support, at the same cost (Tyche's in-context test-time augmentation)
- the examples most similar to each target as its support

CORPUS and protocol are as in experiments/evaluate.py, with 12 targets a task and 2 draws. Two quiet CPU cores take
eight minutes.
"""

from experiments.command import run
from experiments.comparison import held_out, make_parser, network_of, protocol_of, report
from universeg_jax.evaluate.methods import Ensemble, Retrieval, TestTimeAugmentation
from universeg_jax.evaluate.runner import evaluate, largest_support

ROUNDS = 4


def main() -> None:
    arguments = make_parser(__doc__, support=[16], draws=2, targets=12).parse_args()
    network, protocol = network_of(arguments), protocol_of(arguments)
    methods = [network, Ensemble(network, ROUNDS), TestTimeAugmentation(network, ROUNDS), Retrieval(network)]
    data, tasks = held_out(arguments)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=tasks, progress=True)
    report(arguments, evaluation, data, methods, protocol, baseline=largest_support(evaluation.summaries))


if __name__ == "__main__":
    run(main)
