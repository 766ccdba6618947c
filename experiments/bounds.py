"""Claim: with 32 examples, Dice is above a copied mask and a tenth below a U-Net trained on the task.

    python -m experiments.bounds --corpus CORPUS --out experiments/results/bounds

The lower bound copies the mask of the example most similar to the target, from the same support or from all examples
of the train split. The upper bound is a U-Net trained from scratch on all examples, one for each task. (The paper's
upper bound is nnU-Net, which is much larger and trained for longer.) CORPUS and protocol are as in
experiments/evaluate.py, with 12 targets a task, 2 draws of the support, and one training of each U-Net. Two quiet CPU
cores take ten minutes.
"""

from dataclasses import replace

from experiments.command import run
from experiments.comparison import held_out, make_parser, network_of, protocol_of, report
from experiments.unet import SupervisedUNet
from universeg_jax.evaluate.methods import NearestMask
from universeg_jax.evaluate.runner import evaluate, largest_support, merged


def main() -> None:
    parser = make_parser(__doc__, support=[32], draws=2, targets=12)
    parser.add_argument("--steps", type=int, default=300, help="training steps of each U-Net (default: %(default)s)")
    arguments = parser.parse_args()
    network, protocol = network_of(arguments), protocol_of(arguments)
    data, tasks = held_out(arguments)
    below, above = [network, NearestMask()], [NearestMask(), SupervisedUNet(steps=arguments.steps)]
    whole = replace(protocol, support_sizes=(None,), draws=1)
    evaluation = merged(
        evaluate(data, below, protocol, arguments.out, tasks=tasks, progress=True),
        evaluate(data, above, whole, arguments.out, tasks=tasks, progress=True),
    )
    baseline = largest_support(evaluation.summaries)
    report(arguments, evaluation, data, [network, *above], protocol, baseline=baseline)


if __name__ == "__main__":
    run(main)
