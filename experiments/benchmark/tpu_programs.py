"""Programs that the TPU compiler compiles on a machine without a TPU, and its figures of them.

All figures are estimates of the compiler, not measurements on a chip. It counts the body of a loop once. Its "bytes
accessed" include arrays in the vector memory of a chip (VMEM), whose bandwidth is no limit here. `memory_bytes` counts
the others.
"""

import os
import re
from collections.abc import Sequence

os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # before JAX is imported: there is no metadata server to ask
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from universeg_jax import backend
from universeg_jax.data.augment import Policy
from universeg_jax.data.episodes.draw import Episode
from universeg_jax.models.universeg import UniverSeg, UniverSegConfig
from universeg_jax.parallel import DATA, SUPPORT
from universeg_jax.train.config import Stage, TrainConfig
from universeg_jax.train.learner import UniverSegLearner, initial_state
from universeg_jax.train.step import EPISODES, Augmentation, TrainStep, over_data, over_mesh
from universeg_jax.weights.mapping import blueprint, get_parameters

SIZE = 128  # pixels

TOPOLOGIES = {"v5e": "v5e:2x2", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}
"""Smallest topology of each chip."""

PEAKS = {"v5e": (197e12, 819e9), "v5p": (459e12, 2765e9), "v6e": (918e12, 1640e9)}
"""Peak bfloat16 operations and bytes of memory traffic per second of a chip, from https://cloud.google.com/tpu/docs."""

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")


def prediction(
    chip: str, *, entries: int, targets: int, dtype: str, chunk: int | None = None, definition: bool = False
) -> jax.stages.Compiled:
    """Compile a prediction of the released network at 128x128 pixels for one chip.

    Args:
        chip: key of TOPOLOGIES.
        entries: number of support entries, shared by all targets.
        targets: number of targets.
        dtype: dtype of images and features.
        chunk: support entries computed at a time; None is the choice of `backend`.
        definition: compile the network as the paper writes it instead of the fast path.
    """
    place = jax.sharding.SingleDeviceSharding(_devices(TOPOLOGIES[chip])[0])

    def shaped(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=place)

    def predict(model: UniverSeg, *arrays: jax.Array) -> jax.Array:
        return model.definition(*arrays) if definition else model(*arrays, chunk=chunk)

    model = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), blueprint(UniverSeg, UniverSegConfig.v1())
    )
    support = shaped(1, entries, SIZE, SIZE, 1)
    with backend.compile_for("tpu"):
        return jax.jit(predict).lower(model, shaped(targets, SIZE, SIZE, 1), support, support).compile()


def training_step(
    topology: str, *, entries: int, support_devices: int = 1, checkpoint: bool = False, dtype: str = "bfloat16"
) -> jax.stages.Compiled:
    """Compile a training step at 128x128 pixels for all chips of a topology, one episode for each part of the data.

    Args:
        topology: such as v5e:4x4.
        entries: number of support entries of an episode.
        support_devices: devices that share a support set. 1 compiles for `jax.pmap`, more for `jax.shard_map`.
        checkpoint: compute activations again for the gradient.
        dtype: dtype of features.
    """
    devices = np.array(_devices(topology))
    episodes = len(devices) // support_devices
    stage = Stage(size=SIZE, steps=1000, batch_size=episodes, support_size=entries, learning_rate=1e-4)
    config = TrainConfig(
        stages=(stage,),
        policy=Policy.none(),
        dtype=dtype,
        checkpoint_activations=checkpoint,
        model=UniverSegConfig.v1(),
    )
    learner = UniverSegLearner(config)
    step = TrainStep(learner.loss, learner.optimizer(), config.ema)
    augmentation = Augmentation(config.policy, 0)
    parameters = get_parameters(blueprint(UniverSeg, config.model))
    state = jax.eval_shape(lambda arrays: initial_state(arrays, learner.optimizer()), parameters)
    batch = _episodes(episodes, entries)
    with backend.compile_for("tpu"):
        if support_devices == 1:
            by_device = jax.tree.map(lambda x: jax.ShapeDtypeStruct((episodes, 1, *x.shape[1:]), x.dtype), batch)
            return over_data(step, augmentation, list(devices)).update.lower(state, by_device).compile()
        mesh = Mesh(devices.reshape(episodes, support_devices), (DATA, SUPPORT))
        state = jax.tree.map(lambda x: _placed(x, mesh, P()), state)
        batch = jax.tree.map(lambda x, split: _placed(x, mesh, split), batch, EPISODES)
        return over_mesh(step, augmentation, mesh).update.lower(state, batch).compile()


def figures(compiled: jax.stages.Compiled, chip: str) -> dict:
    """Return the compiler's figures of a program for one chip, in bytes, operations, seconds and cycles.

    The times are all operations at the peak of the chip, and all bytes outside of VMEM at its bandwidth.
    """
    cost, (flops, bandwidth) = compiled.cost_analysis(), PEAKS[chip]
    memory, text = compiled.memory_analysis(), compiled.as_text()
    of_memory = memory_bytes(text)
    return {
        "temporary_bytes": memory.temp_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "operations": cost["flops"],
        "bytes": cost["bytes accessed"],
        "memory_bytes": of_memory,
        "seconds_of_arithmetic": cost["flops"] / flops,
        "seconds_of_memory": of_memory / bandwidth,
        "cycles": sum(int(count) for count in re.findall(r'"estimated_cycles":"(\d+)"', text)),
        "trips": max(map(int, re.findall(r'"known_trip_count":\{"n":"(\d+)"\}', text)), default=1),
        "collectives": collectives(text),
    }


def collectives(text: str) -> dict[str, dict[str, int]]:
    """Count the collectives of an optimised program, and the bytes of their results on a chip."""
    found: dict[str, dict[str, int]] = {}
    kinds = "|".join(COLLECTIVES)
    for shapes, kind in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        entry = found.setdefault(kind, {"count": 0, "bytes": 0})
        entry["count"] += 1
        entry["bytes"] += sum(_size(*array) for array in re.findall(r"\b([a-z]+)(\d+)\[([\d,]*)\]", shapes))
    return found


def memory_bytes(text: str) -> int:
    """Count the bytes that an optimised program reads and writes outside of VMEM, with the padding of its layouts.

    Each operation reads its operands and writes its results as a whole. The body of a loop counts once.
    """
    inside = set(re.findall(r"(?:calls|to_apply)=(%[\w.\-]+)", text))  # fused: these arrays are never in memory
    total, results, counted = 0, {}, True
    for line in text.splitlines():
        if line.endswith("{"):
            counted = not inside & set(re.findall(r"%[\w.\-]+", line)[:1])
        operation = re.match(r"\s+(?:ROOT )?(%[\w.\-]+) = (.*?) ([\w\-]+)\((.*)", line)
        if not counted or not operation:
            continue
        name, shapes, kind, rest = operation.groups()
        results[name] = padded_bytes(shapes)
        if kind in _NO_ACCESS or kind.endswith("-done"):
            continue
        if kind == "slice-start":  # its results hold the whole operand
            total += padded_bytes(shapes.split("), ")[1].replace("S(1)", ""))
            continue
        total += results[name]
        if not kind.endswith("-start"):  # the results of a start hold its operands
            total += sum(results.get(operand, 0) for operand in re.findall(r"%[\w.\-]+", rest.split("), ")[0]))
    return total


_NO_ACCESS = ("parameter", "constant", "bitcast", "get-tuple-element", "tuple", "while")


def padded_bytes(shapes: str) -> int:
    """Compute the bytes outside of VMEM of arrays such as bf16[3,64]{1,0:T(8,128)(2,1)}; S(1) in a layout is VMEM."""
    total = 0
    for kind, shape, order, layout in re.findall(r"\b([a-z]+\d*)\[([\d,]*)\](?:\{([\d,]*)([^}]*)\})?", shapes):
        if "S(" in layout:
            continue
        sides = np.array([int(side) for side in shape.split(",") if side], dtype=np.int64)
        tile = re.search(r"T\(([\d,]+)\)", layout)
        if tile and len(sides):
            sides = sides[[int(axis) for axis in order.split(",")][::-1]]
            tiles = [int(side) for side in tile[1].split(",")][-len(sides) :]
            padded = sides[-len(tiles) :]
            padded[:] = -(-padded // tiles) * tiles
        total += int(np.prod(sides)) * int(re.sub(r"\D", "", kind) or 8) // 8
    return total


def _size(kind: str, bits: str, shape: str) -> int:
    """Compute the bytes of an array such as bf16[3,3,64]."""
    return int(np.prod([int(side) for side in shape.split(",") if side], dtype=np.int64)) * int(bits) // 8


def _devices(topology: str) -> Sequence:
    return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices


def _episodes(episodes: int, entries: int) -> Episode:
    images = jax.ShapeDtypeStruct((episodes, SIZE, SIZE, 1), jnp.float32)
    support = jax.ShapeDtypeStruct((episodes, entries, SIZE, SIZE, 1), jnp.float32)
    mask = jax.ShapeDtypeStruct((episodes, entries), jnp.bool_)
    numbers = jax.ShapeDtypeStruct((episodes,), jnp.int32)
    return Episode(images, images, support, support, mask, numbers, numbers)


def _placed(array: jax.ShapeDtypeStruct, mesh: Mesh, split: P) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=NamedSharding(mesh, split))
