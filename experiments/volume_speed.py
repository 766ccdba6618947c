"""Time volumes next to the official PyTorch code: `python -m experiments.volume_speed OUT`.

One process segments slices of a volume by both, in turns: `VolumeTask`, which chooses labelled slices and lets
neighbours share them, and the official network in a loop over the slices, which encodes its support each time. Both are
the released network, with random weights. Processor time, over all threads, depends less on other work on the machine.
The official repository (github.com/JJGO/UniverSeg) must be on PYTHONPATH.
"""

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median

import numpy as np

import universeg_jax as uj
from universeg_jax.io.volume_folder import LabelledVolume
from universeg_jax.io.volumes import Volume
from universeg_jax.segment.report import environment
from universeg_jax.segment.slice_choice import SliceChoice
from universeg_jax.segment.volume import fit_volumes


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the result")
    parser.add_argument("--support", type=int, default=32, metavar="S", help="(default: %(default)s)")
    parser.add_argument("--slices", type=int, default=8, metavar="N", help="of a turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="(default: %(default)s)")
    arguments = parser.parse_args()
    import torch
    from universeg import UniverSeg as Official
    from universeg import universeg as official_model

    torch.set_num_threads(os.cpu_count())
    official: Official = official_model(pretrained=False).eval()
    rng = np.random.default_rng(0)
    shown = rng.random((128, 128, 64), np.float32), rng.random((128, 128, 64)) > 0.7
    place = np.eye(4)
    labelled = LabelledVolume(Volume("shown", shown[0], place), shown[1].astype(np.uint8))
    choice = SliceChoice(size=arguments.support, pool=64)
    task = fit_volumes(uj.Segmenter(uj.universeg()), [labelled], axis="axial", choice=choice)
    volume = Volume("target", rng.random((128, 128, arguments.slices), np.float32), place)
    images, labels = (
        torch.from_numpy(array[..., : arguments.support].transpose(2, 0, 1)[None, :, None].astype(np.float32))
        for array in shown
    )

    def ours() -> None:
        task.segment(volume)

    def theirs() -> None:
        with torch.inference_mode():
            for k in range(arguments.slices):
                official(torch.from_numpy(volume.voxels[..., k])[None, None], images, labels)

    ours()  # compiles
    seconds: dict[str, list[float]] = {"ours": [], "official": []}
    processor: dict[str, list[float]] = {"ours": [], "official": []}
    for _ in range(arguments.turns):
        for name, run in (("ours", ours), ("official", theirs)):
            began, worked = time.perf_counter(), time.process_time()
            run()
            seconds[name].append(round(time.perf_counter() - began, 3))
            processor[name].append(round(time.process_time() - worked, 3))
    speeds = {name: round(arguments.slices / median(times), 3) for name, times in seconds.items()}
    ratios, of_processor = (
        [round(b / a, 2) for a, b in zip(times["ours"], times["official"], strict=True)]
        for times in (seconds, processor)
    )
    command = f"python -m experiments.volume_speed OUT --support {arguments.support} --slices {arguments.slices}"
    result = {
        "command": f"{command} --turns {arguments.turns}",
        "slices_a_second": speeds,
        "official_by_ours_in_each_turn": ratios,
        "official_by_ours_in_processor_time": of_processor,
        "seconds": seconds,
        "processor_seconds": processor,
        "load": os.getloadavg(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        **environment(),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "speed.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
