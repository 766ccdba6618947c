"""Image encoders in PyTorch, written from their description, on arrays with the names and shapes of this library.

They are for speed: one fused attention for all heads, and channels where PyTorch's kernels want them.
"""

import numpy as np
import torch
from torch.nn import functional

from universeg_jax.models.dinov2 import DINOv2
from universeg_jax.models.protosam.config import STAGES
from universeg_jax.models.protosam.encoder import IMAGENET_DEVIATION, IMAGENET_MEAN
from universeg_jax.models.sam.model import SAM

SMALLEST_GRID = 32
Arrays = dict[str, torch.Tensor]


def features_by_torch(network: DINOv2 | SAM, values: Arrays, images: torch.Tensor) -> torch.Tensor:
    """Return features (N,C,h,w) of grey images (N,H,W) in [0,1], as the training of an encoder uses them."""
    colours = images[:, None].expand(-1, 3, -1, -1)
    if isinstance(network, SAM):
        return _TinyViT(network, values).features(colours)
    return _DINOv2(network, values).features(colours)


class _Layers:
    def __init__(self, values: Arrays, prefix: str):
        self._values, self._prefix = values, prefix

    def of(self, name: str) -> torch.Tensor:
        return self._values[self._prefix + name]

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, self.of(f"{name}.kernel").T, self.of(f"{name}.bias"))

    def norm(self, x: torch.Tensor, name: str, epsilon: float) -> torch.Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.of(f"{name}.scale"), self.of(f"{name}.bias"), eps=epsilon)


class _DINOv2(_Layers):
    def __init__(self, network: DINOv2, values: Arrays):
        super().__init__(values, "")
        self._config = network.config

    def features(self, images: torch.Tensor) -> torch.Tensor:
        mean, deviation = (torch.tensor(colour)[:, None, None] for colour in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        kernel, patch = self.of("patches.kernel").permute(3, 2, 0, 1), self._config.patch
        x = functional.conv2d((images - mean) / deviation, kernel, self.of("patches.bias"), stride=patch)
        side = x.shape[-1]
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([self.of("class_token").expand(len(x), -1, -1), x], dim=1) + self.of("positions")
        for i in range(self._config.depth):
            x = self._block(x, f"blocks.{i}")
        maps = self.norm(x, "norm", 1e-6)[:, 1:].transpose(1, 2).reshape(len(x), -1, side, side)
        return functional.interpolate(maps, size=(SMALLEST_GRID,) * 2, mode="bilinear", align_corners=False)

    def _block(self, x: torch.Tensor, name: str) -> torch.Tensor:
        qkv = self.linear(self.norm(x, f"{name}.attention_norm", 1e-6), f"{name}.qkv")
        q, k, v = qkv.reshape(*x.shape[:2], 3, self._config.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        x = x + self.of(f"{name}.attention_scale") * self.linear(mixed, f"{name}.out")
        hidden = functional.gelu(self.linear(self.norm(x, f"{name}.mlp_norm", 1e-6), f"{name}.widen"))
        return x + self.of(f"{name}.mlp_scale") * self.linear(hidden, f"{name}.narrow")


class _TinyViT(_Layers):
    def __init__(self, network: SAM, values: Arrays):
        super().__init__(values, "image_encoder.")
        self._config = network.config.encoder

    def features(self, images: torch.Tensor) -> torch.Tensor:
        config = self._config
        stem = [self._conv(images, "stem.0", stride=config.stem_stride)]
        x = self._conv(functional.gelu(stem[0]), "stem.1", stride=config.stem_stride)
        for i in range(config.depths[0]):
            name = f"stages.0.{i}"
            hidden = functional.gelu(self._conv(x, f"{name}.widen"))
            hidden = functional.gelu(self._conv(hidden, f"{name}.depthwise", depthwise=True))
            x = functional.gelu(x + self._conv(hidden, f"{name}.narrow"))
        stages = []
        for stage in range(1, len(config.depths)):
            name, stride = f"merges.{stage - 1}", config.merge_strides[stage - 1]
            x = functional.gelu(self._conv(x, f"{name}.widen"))
            x = functional.gelu(self._conv(x, f"{name}.depthwise", depthwise=True, stride=stride))
            x = self._conv(x, f"{name}.mix")
            for i in range(config.depths[stage]):
                x = self._block(x, f"stages.{stage}.{i}", config.heads[stage], config.windows[stage])
            stages.append(x)
        stages = [functional.adaptive_avg_pool2d(stage, x.shape[-2:]) for stage in stages]
        parts = [
            weight**0.5 * stage / stage.norm(dim=1, keepdim=True).clamp(min=1e-4)
            for weight, stage in zip(STAGES, stages, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def _conv(self, x: torch.Tensor, name: str, *, stride: int = 1, depthwise: bool = False) -> torch.Tensor:
        kernel = self.of(f"{name}.kernel").permute(3, 2, 0, 1)
        groups = len(kernel) if depthwise else 1
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
        mean, variance, scale, bias = (self.of(f"{name}.{part}") for part in ("mean", "variance", "scale", "bias"))
        return functional.batch_norm(x, mean, variance, scale, bias, training=False, eps=1e-5)

    def _block(self, x: torch.Tensor, name: str, heads: int, window: int) -> torch.Tensor:
        x = self._conv(x + self._attention(x, f"{name}.attention", heads, window), f"{name}.local", depthwise=True)
        rows = x.permute(0, 2, 3, 1)
        hidden = functional.gelu(self.linear(self.norm(rows, f"{name}.norm", 1e-5), f"{name}.widen"))
        return x + self.linear(hidden, f"{name}.narrow").permute(0, 3, 1, 2)

    def _attention(self, x: torch.Tensor, name: str, heads: int, window: int) -> torch.Tensor:
        n, channels, height, width = x.shape
        below, right = -height % window, -width % window
        x = functional.pad(x, (0, right, 0, below))
        rows, columns = x.shape[2] // window, x.shape[3] // window
        parts = x.reshape(n, channels, rows, window, columns, window).permute(0, 2, 4, 3, 5, 1)
        parts = parts.reshape(-1, window * window, channels)
        qkv = self.linear(self.norm(parts, f"{name}.norm", 1e-5), f"{name}.qkv")
        q, k, v = qkv.reshape(*parts.shape[:2], heads, 3, -1).permute(3, 0, 2, 1, 4)
        y, z = np.divmod(np.arange(window * window), window)
        distance = torch.from_numpy(abs(y[:, None] - y) * window + abs(z[:, None] - z))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=self.of(f"{name}.biases")[:, distance])
        mixed = self.linear(mixed.transpose(1, 2).reshape(parts.shape), f"{name}.out")
        mixed = mixed.reshape(n, rows, columns, window, window, channels).permute(0, 5, 1, 3, 2, 4)
        return mixed.reshape(n, channels, rows * window, columns * window)[..., :height, :width]
