"""Claim: with few labelled examples in all, showing all at once is as good as ensembles of parts.

    python -m experiments.pools --corpus CORPUS --out experiments/results/pools

Each task has 4 or 16 known examples, the same for every method: one support set of some or all of them, or an ensemble
of 5 random sets. Tasks and protocol are as in experiments/evaluate.py, with 8 targets a task and 2 draws of the
pool and the support. Two quiet CPU cores take eight minutes.
"""

from dataclasses import replace

from experiments.command import run
from experiments.comparison import held_out, make_parser, network_of, protocol_of, report
from experiments.support_size import MEMBERS
from universeg_jax.evaluate.methods import Ensemble
from universeg_jax.evaluate.runner import evaluate
from universeg_jax.evaluate.summary import Condition


def main() -> None:
    parser = make_parser(__doc__, support=[2, 4, 8, 16], draws=2, targets=8)
    parser.add_argument("--pool", type=int, nargs="+", default=[4, 16], help="examples in all (default: %(default)s)")
    arguments = parser.parse_args()
    network = network_of(arguments)
    protocol = replace(protocol_of(arguments), pools=tuple(arguments.pool))
    methods = [network, Ensemble(network, MEMBERS)]
    data, tasks = held_out(arguments)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=tasks, progress=True)
    pool = max(arguments.pool)
    sizes = [size for held, size in protocol.pools_and_sizes() if held == pool]
    report(arguments, evaluation, data, methods, protocol, baseline=Condition(network.name, max(sizes), pool))


if __name__ == "__main__":
    run(main)
