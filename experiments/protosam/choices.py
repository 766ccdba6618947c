"""Compare ProtoSAM's defaults with other choices, one at a time, on training sets.

    python -m experiments.protosam.choices --corpus TRAIN --out experiments/results

Each row changes one thing. Changes of prototypes are compared by coarse masks, changes of prompts and refinement by
refined masks. `universeg-jax prepare` makes TRAIN, without held-out sets. Every fourth set with ten examples or more is
used: its first task, two random examples and four targets each, the same for all rows. A stopped run resumes. It takes
an hour or two on two quiet CPU cores, because pictures of many small components take the decoder long.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy import stats

from experiments.benchmark.machine import machine
from experiments.command import run
from experiments.held_out import HELD_OUT
from experiments.protosam.measure import SMALLEST, Contender, RememberingSAM, chosen_tasks, draws, measure
from universeg_jax.data.corpus.read import Corpus, CorpusTask
from universeg_jax.data.corpus.select import refuse_held_out
from universeg_jax.models.protosam.config import (
    ALPConfig,
    ComponentsConfig,
    Keep,
    LabelSampling,
    LinearConfig,
    MaskChoice,
    MaskPrompt,
    PromptsConfig,
    ProtoSAMConfig,
    RefinementConfig,
    Turn,
)
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.weights.loading import PROTOSAM, load

EXAMPLES, DRAWS, TARGETS = 10, 2, 4
DEFAULT = "as it is"


MIRRORED = (Turn(), Turn(mirrored=True))
TILTED = (Turn(), Turn(degrees=7.0), Turn(degrees=-7.0))
BFLOAT16 = "in bfloat16"


def _coarse(**changes) -> ProtoSAMConfig:
    return replace(ProtoSAMConfig.coarse(), **changes)


def _refined(**changes) -> ProtoSAMConfig:
    return ProtoSAMConfig(refinement=RefinementConfig(**changes))


CHOICES: Mapping[str, Mapping[str, ProtoSAMConfig]] = {
    "coarse": {
        DEFAULT: _coarse(),
        "purity .95": _coarse(alp=ALPConfig(purity=0.95)),
        "purity .5": _coarse(alp=ALPConfig(purity=0.5)),
        "no positions": _coarse(alp=ALPConfig(position_weight=0.0)),
        "positions twice as heavy": _coarse(alp=ALPConfig(position_weight=2.0)),
        "window 1": _coarse(alp=ALPConfig(window=1)),
        "window 4": _coarse(alp=ALPConfig(window=4)),
        "scale 10": _coarse(alp=ALPConfig(scale=10.0)),
        "scale 40": _coarse(alp=ALPConfig(scale=40.0)),
        "labels by their nearest pixel": _coarse(alp=ALPConfig(label_sampling=LabelSampling.NEAREST)),
        "local foreground only where roomy (ALPNet)": _coarse(alp=ALPConfig(foreground_grid=8)),
        "last stage only": _coarse(stages=(1.0,)),
        "no classifier": _coarse(linear=None),
        "classifier three times as heavy": _coarse(linear=LinearConfig(weight=3.0)),
        "classifier's ridge 1": _coarse(linear=LinearConfig(ridge=1.0)),
        "classifier without positions": _coarse(linear=LinearConfig(position=0.0)),
        "averaged with mirrored": _coarse(turns=MIRRORED),
        "averaged with tilted by 7 degrees": _coarse(turns=TILTED),
    },
    "refined": {
        DEFAULT: ProtoSAMConfig(),
        "coarse only": ProtoSAMConfig.coarse(),
        "always the decoder's mask": ProtoSAMConfig(refinement=RefinementConfig.always()),
        "no look at the example": _refined(support_dice=0.0),
        "any agreement": _refined(agreement=0.0),
        "any stability": _refined(stability=0.0),
        "without the coarse logits": _refined(coarse_weight=0.0),
        "first of three masks": _refined(mask_choice=MaskChoice.FIRST_OF_THREE),
        "best of three masks": _refined(mask_choice=MaskChoice.BEST_OF_THREE),
        "union of three masks": _refined(mask_choice=MaskChoice.UNION_OF_THREE),
        "boxes without margin": ProtoSAMConfig(prompts=PromptsConfig(box_margin=0.0)),
        "boxes with a margin of .03": ProtoSAMConfig(prompts=PromptsConfig(box_margin=0.03)),
        "points without boxes": ProtoSAMConfig(prompts=PromptsConfig(box=False, confident_points=1, centroid=True)),
        "and two points": ProtoSAMConfig(prompts=PromptsConfig(confident_points=1, centroid=True)),
        "and a negative point": ProtoSAMConfig(prompts=PromptsConfig(local_negative=True)),
        "and the coarse mask as a prompt": ProtoSAMConfig(prompts=PromptsConfig(mask=MaskPrompt.BINARY)),
        "and the coarse logits as a prompt": ProtoSAMConfig(prompts=PromptsConfig(mask=MaskPrompt.LOGITS)),
        "all components": ProtoSAMConfig(components=ComponentsConfig(keep=Keep.ALL)),
        "the most confident component": ProtoSAMConfig(components=ComponentsConfig(keep=Keep.MOST_CONFIDENT)),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="TRAIN")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of protosam_choices.{json,md}")
    arguments = parser.parse_args()
    corpus = Corpus(arguments.corpus)
    tasks = chosen(corpus)
    refuse_held_out(tasks, HELD_OUT)
    sam = RememberingSAM(load(PROTOSAM))
    rows = contenders(sam)
    settings = {
        "weights": PROTOSAM,
        "draws": DRAWS,
        "targets": TARGETS,
        "choices": {half: {row.name: repr(row.model.config) for row in own} for half, own in rows.items()},
    }
    file = arguments.out / "protosam_choices.json"
    arguments.out.mkdir(parents=True, exist_ok=True)
    done = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    found = done["dice"] if {name: done.get(name) for name in settings} == settings else {}
    for task in tasks:
        if task.name not in found:
            made = list(draws(corpus, task, number=DRAWS, targets=TARGETS, more=0))
            found[task.name] = {
                half: {row.name: measure(corpus, task, made, row)["dice"] for row in own} for half, own in rows.items()
            }
            sam.forget()
            results = {"machine": machine(), **settings, "dice": found}
            file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(task.name, {half: scores[DEFAULT] for half, scores in found[task.name].items()}, flush=True)
        (arguments.out / "protosam_choices.md").write_text(page(found), encoding="utf-8")


def chosen(corpus: Corpus) -> list[CorpusTask]:
    """Choose the first task of every fourth dataset with enough examples."""
    first = [task for dataset in corpus.datasets for task in chosen_tasks(corpus, dataset, most=1)]
    enough = [task for task in first if len(corpus.examples(task, minimum_area=SMALLEST)) >= EXAMPLES]
    return enough[::4]


def contenders(sam: RememberingSAM) -> dict[str, list[Contender]]:
    """List all choices by the masks that compare them."""
    rows = {
        half: [Contender(name, ProtoSAM(sam, config=config), 1) for name, config in configs.items()]
        for half, configs in CHOICES.items()
    }
    rows["refined"].append(Contender(BFLOAT16, ProtoSAM(sam), 1, dtype="bfloat16"))
    return rows


def page(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Write a Markdown page of the mean Dice by task, half and choice."""
    lines = [
        "# What ProtoSAM's defaults were chosen from",
        "",
        "`python -m experiments.protosam.choices --corpus TRAIN --out experiments/results`",
        "",
        f"Mean Dice over {len(found)} training sets, {DRAWS} random examples with {TARGETS} targets each; the mean "
        "difference from the first row with a 95 % bootstrap interval over sets; and on how many sets it is more than "
        "0.005 better or worse. Each row changes one thing.",
    ]
    for half in CHOICES:
        lines += [
            "",
            f"## Of the {half} masks",
            "",
            "| | Dice | difference | better | worse |",
            "|---|---|---|---|---|",
        ]
        for name in next(iter(found.values()))[half]:
            own = [scores[half][name] for scores in found.values()]
            differences = [scores[half][name] - scores[half][DEFAULT] for scores in found.values()]
            cells = ["", "", ""]
            if name != DEFAULT:
                better, worse = (sum(sign * d > 0.005 for d in differences) for sign in (1, -1))
                cells = [f"{fmean(differences):+.3f}{_interval(differences)}", str(better), str(worse)]
            lines.append(f"| {name} | {fmean(own):.3f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(values: list[float]) -> str:
    """Compute the bootstrap interval of the mean; nothing for one value."""
    if len(values) < 2:
        return ""
    low, high = stats.bootstrap([values], np.mean, method="percentile", rng=0).confidence_interval
    return f" [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    run(main)
