"""Segment from one labelled image: ProtoSAM (refined and coarse only), and UniverSeg from one and sixteen.

    python -m experiments.protosam --corpus HELDOUT --corpus TRAIN --out experiments/results

`universeg-jax prepare` makes the corpora from public datasets. Of the second corpus, the first task of some datasets is
used. A stopped run resumes. Other weights or configurations measure only their own columns again, other draws
everything.

Nothing is trained. ProtoSAM's defaults were chosen on images of the second corpus, none of the first, so its figures on
the second are slightly too good. The licences of the pictured images allow it: BBBC038 (CC0), HC18 (CC BY 4.0),
Medical Decathlon's hippocampus (CC BY-SA 4.0), CHASE_DB1 (CC BY 4.0) and the Shenzhen X-rays (CC0).
"""

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from experiments.benchmark.machine import machine
from experiments.command import run
from experiments.protosam.measure import Contender, RememberingSAM, chosen_tasks, draws, measure
from experiments.protosam.report import write_picture, write_table
from universeg_jax.data.corpus.read import Corpus
from universeg_jax.errors import InputError
from universeg_jax.models.protosam.config import (
    ALPConfig,
    ComponentsConfig,
    Keep,
    PromptsConfig,
    ProtoSAMConfig,
    RefinementConfig,
)
from universeg_jax.models.protosam.pipeline import ProtoSAM
from universeg_jax.weights import shipped
from universeg_jax.weights.loading import PROTOSAM, load

MAY_BE_SHOWN = ("hc18_fetal_head", "cxr_lung", "dsb2018_nuclei", "hippocampus_axial", "chasedb1_vessel")
TRAIN_SETS = (
    "cxr_lung",
    "dsb2018_nuclei",
    "hippocampus_axial",
    "hippocampus_sagittal",
    "chasedb1_vessel",
    "ph2_skin_lesion",
    "knee_xray",
    "sa_chest_ct_subset",
    "sa_busi_breast_cancer",
    "sa_whole_heart_hvsmr_2_0",
    "sa_kits19_kidney_tumor",
    "sa_liver_tumor",
)

ALL = ComponentsConfig(keep=Keep.ALL)
PLAIN = ProtoSAMConfig(
    alp=ALPConfig(purity=0.95, position_weight=0.0),
    stages=(1.0,),
    linear=None,
    components=ComponentsConfig(keep=Keep.MOST_CONFIDENT),
    prompts=PromptsConfig(box_margin=0.0),
    refinement=RefinementConfig.always(),
)
"""Prototypes without positions, and the decoder's mask for the box of the most confident component."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, action="append", required=True, metavar="DIR", help="may be repeated")
    parser.add_argument("--datasets", nargs="*", default=TRAIN_SETS, help="of the second and further corpora")
    parser.add_argument("--sam", default=PROTOSAM, help="weights of ProtoSAM (default: %(default)s)")
    parser.add_argument("--universeg", default=shipped.DEFAULT, help="weights of UniverSeg (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=4, help="random support images (default: %(default)s)")
    parser.add_argument("--targets", type=int, default=6, help="of each (default: %(default)s)")
    parser.add_argument(
        "--tasks", type=int, default=3, help="of a dataset of the first corpus, at most (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of protosam.{json,md,png}")
    arguments = parser.parse_args()

    names = [folder.name for folder in arguments.corpus]
    if len(set(names)) < len(names):
        raise InputError(f"--corpus {' '.join(names)}: results are kept by the folder's name; give them different ones")
    sam = RememberingSAM(load(arguments.sam))
    universeg = load(arguments.universeg)
    contenders = [
        Contender("ProtoSAM, 1 example", ProtoSAM(sam), 1),
        Contender("coarse only, 1", ProtoSAM(sam, config=ProtoSAMConfig.coarse()), 1),
        Contender("plain ProtoSAM, 1", ProtoSAM(sam, config=PLAIN), 1),
        Contender("plain coarse, 1", ProtoSAM(sam, config=replace(PLAIN, components=ALL, refinement=None)), 1),
        Contender("UniverSeg, 1", universeg, 1),
        Contender("UniverSeg, 16", universeg, 16),
    ]
    settings = {"draws": arguments.draws, "targets": arguments.targets, "resolution": 128}
    identities = {
        contender.name: {
            "weights": arguments.sam if isinstance(contender.model, ProtoSAM) else arguments.universeg,
            "configuration": repr(contender.model.config),
        }
        for contender in contenders
    }
    command = shlex.join(["python", "-m", "experiments.protosam", *map(_printed, sys.argv[1:])])
    results = {"command": command, "machine": machine(), **settings, "contenders": identities}
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "protosam.json"
    done = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    same = {name: done.get(name) for name in settings} == settings
    results["corpora"] = known_columns(done, identities) if same else {}
    shown = []
    for place, folder in enumerate(arguments.corpus):
        corpus, measured = Corpus(folder), results["corpora"].setdefault(folder.name, {})
        for dataset in corpus.datasets if place == 0 else arguments.datasets:
            for number, task in enumerate(chosen_tasks(corpus, dataset, most=arguments.tasks if place == 0 else 1)):
                made = list(draws(corpus, task, number=arguments.draws, targets=arguments.targets, more=15))
                if not made:
                    continue
                if dataset in MAY_BE_SHOWN and number == 0:
                    shown.append((corpus, task, made[0]))
                name = f"{task.dataset}, {task.label}"
                there = measured.pop(name, {})  # the table has the order of this run
                measured[name] = {c.name: there.get(c.name) or measure(corpus, task, made, c) for c in contenders}
                if there != measured[name]:
                    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                print(name, [score["dice"] for score in measured[name].values()], flush=True)
            sam.forget()
    for measured in results["corpora"].values():
        for name in [name for name, scores in measured.items() if scores.keys() != identities.keys()]:
            del measured[name]  # of a dataset that is not asked for any more
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_table(arguments.out / "protosam.md", results)
    write_picture(arguments.out / "protosam.png", shown, [c for c in contenders if "plain" not in c.name])


def known_columns(done: dict, identities: dict[str, dict[str, str]]) -> dict[str, dict[str, dict[str, dict]]]:
    """List the known results by corpus, task and contender, of contenders that have not changed.

    Args:
        done: results of an earlier run with the same draws.
        identities: identity of each contender.
    """
    same = {name for name, identity in done["contenders"].items() if identities.get(name) == identity}
    return {
        corpus: {
            task: {name: score for name, score in scores.items() if name in same} for task, scores in measured.items()
        }
        for corpus, measured in done["corpora"].items()
    }


def _printed(word: str) -> str:
    """Shorten a word of the command: a folder of this machine to its name."""
    return Path(word).name if Path(word).is_absolute() else word


if __name__ == "__main__":
    run(main)
