"""Claim: on held-out sets too small to be split the default weights are far ahead of open-v0, hardly of open-v3.

    python -m experiments.small_sets --corpus CORPUS --against open-v3 open-v2 open-v1 open-v0 --out DIR

CORPUS holds other sets than experiments/evaluate.py measures on, of 4 to 20 images each. Each image is segmented from
up to 16 others of its set, at most 8 images a task. Nine sets were measured:

- seven sets of MedScribble (halleewong/ScribblePrompt: BTCV, CAMUS, CHAOS, HipXRay, OASIS, OCTA-500, PAXRay)
- livers in CT (sarah-antillia, sa_ct_liver), prepared with --subject-pattern '^\\d+': names begin with the patient
- leukocytes (sarah-antillia, LISC), prepared with --one-class: the classes are types of cells

No weights have learned from any of them, except that open-v0 has seen livers in CT. All weights are compared case by
case with the last. Two quiet CPU cores take a minute for each.
"""

from dataclasses import replace

from experiments.command import run
from experiments.comparison import held_out, make_parser, matching, named, network_of, protocol_of, report, too_small
from experiments.support_size import ONE_AT_A_TIME
from universeg_jax.errors import InputError, listing
from universeg_jax.evaluate.runner import evaluate
from universeg_jax.evaluate.summary import Condition


def main() -> None:
    parser = make_parser(__doc__, support=[16], draws=1, targets=8)
    parser.add_argument("--against", metavar="WEIGHTS", nargs="+", default=[], help="other weights, to compare")
    arguments = parser.parse_args()
    network = network_of(arguments)
    against = [weights for weights in arguments.against if weights != arguments.weights]
    methods = [network, *map(named, against)]
    patterns, arguments.tasks = arguments.tasks, None
    data, held = held_out(arguments)
    small = too_small(data, held)
    if not small:
        print(f"{arguments.corpus}: has no sets that experiments/evaluate.py leaves out: nothing to measure")
        return
    others = matching(small, patterns)
    if not others:
        raise InputError(f"--tasks {' '.join(patterns)}: match none of {listing([task.name for task in small])}")
    protocol = replace(protocol_of(arguments), folds=ONE_AT_A_TIME)
    evaluation = evaluate(data, methods, protocol, arguments.out, tasks=others, progress=True)
    baseline = Condition(methods[-1].name, protocol.support_sizes[-1], None) if against else None
    report(arguments, evaluation, data, methods, protocol, baseline=baseline)


if __name__ == "__main__":
    run(main)
