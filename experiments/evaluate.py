"""Claim: on seven tasks of datasets that no training run sees, open-v4 is .05 above open-v0, and below it in none.

    python -m experiments.evaluate --corpus CORPUS --out experiments/results/heldout

`universeg-jax prepare` makes CORPUS from public sources: WBC (zxaoyou/segmentation_WBC, JTSC), ACDC, dental panoramic
X-rays and HC18. The protocol is `universeg_jax.evaluate.runner.EvaluationProtocol` at a reduced scale: 16 targets a
task and 2 draws of the support. The headline is the mean Dice over the 7 tasks of these 4 datasets. A killed run
resumes when it is started again. Two quiet CPU cores take four minutes.
"""

from dataclasses import replace

from experiments.command import run
from experiments.comparison import held_out, make_parser, named, network_of, protocol_of, report
from universeg_jax.evaluate.methods import Ensemble, Method
from universeg_jax.evaluate.runner import evaluate
from universeg_jax.evaluate.summary import Condition


def main() -> None:
    parser = make_parser(__doc__, support=[32], draws=2, targets=16)
    parser.add_argument("--ensemble", type=int, metavar="K", help="also an ensemble of K draws")
    parser.add_argument(
        "--pool", type=int, nargs="+", metavar="P", help="ensembles draw from P examples (default: all)"
    )
    parser.add_argument(
        "--resolution",
        type=int,
        default=128,
        choices=(64, 128, 256),
        help="resolution of CORPUS to read; images are resized to the size of the network (default: %(default)s)",
    )
    parser.add_argument("--against", metavar="WEIGHTS", help="other weights, to compare case by case")
    parser.add_argument("--pictures", action="store_true", help="draw the best, middle and worst predictions")
    arguments = parser.parse_args()
    network = network_of(arguments)
    protocol = replace(protocol_of(arguments), pools=tuple(arguments.pool or [None]))
    methods: list[Method] = [network, Ensemble(network, arguments.ensemble)] if arguments.ensemble else [network]
    compared = arguments.against and arguments.against != arguments.weights
    if compared:
        methods.append(named(arguments.against))
    data, tasks = held_out(arguments, resolution=arguments.resolution)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=tasks, progress=True)
    pool, size = protocol.pools_and_sizes()[-1]
    baseline = Condition(methods[-1].name, size, pool) if compared else None
    report(arguments, evaluation, data, methods, protocol, baseline=baseline, with_pictures=arguments.pictures)


if __name__ == "__main__":
    run(main)
