"""Write `golden_protosam/lora_step.npz`: gradients of LoRA adapters and their values after a step, in PyTorch.

python -m tests.helpers.make_lora_golden
"""

import numpy as np
import torch

from experiments.benchmark.encoders_by_torch import features_by_torch
from tests.helpers.alp_by_torch import losses
from tests.helpers.lora_case import DECAY, GOLDEN, adapters, batch, lora_config
from tests.helpers.tiny_encoder import NETWORK, STAGE
from universeg_jax.weights.mapping import get_parameters


def golden() -> dict[str, np.ndarray]:
    """Take the step in double precision."""
    assert lora_config().alignment == 1
    values = {name: torch.tensor(np.asarray(value, np.float64)) for name, value in get_parameters(NETWORK).items()}
    trained = {name: torch.tensor(value.astype(np.float64), requires_grad=True) for name, value in adapters().items()}
    merged = dict(values)
    for down in (name for name in trained if name.endswith(".lora_down")):
        name = down.removesuffix(".lora_down")
        merged[name] = values[name] + trained[down] @ trained[f"{name}.lora_up"]
    episode = batch()
    images = torch.tensor(
        np.stack([episode.support_images[0, 0, ..., 0], episode.target[0, ..., 0]]).astype(np.float64)
    )
    masks = (episode.support_labels[0, 0, ..., 0], episode.target_label[0, ..., 0])
    features = features_by_torch(NETWORK, merged, images)
    loss = sum(losses(*features, *(torch.tensor(mask.astype(np.float64)) for mask in masks)))
    optimizer = torch.optim.SGD(trained.values(), lr=STAGE.learning_rate, momentum=0.9, weight_decay=DECAY)
    loss.backward()
    gradients = {f"gradient/{name}": value.grad.numpy().copy() for name, value in trained.items()}
    optimizer.step()
    after = {f"after/{name}": value.detach().numpy() for name, value in trained.items()}
    return {"loss": np.array(loss.item()), **gradients, **after}


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden())
