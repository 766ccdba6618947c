"""Write the PyTorch files tests/helpers/torch_files/*.pt. They were made with torch 2.13.

Run `python -m tests.helpers.make_files`; tests/weights/torch_io/test_file.py says what each must hold.
"""

from pathlib import Path

import torch

FOLDER = Path(__file__).parent / "torch_files"

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    *(torch.uint16, torch.uint32, torch.uint64),
)


def state_dict():
    """Make a module's state dict (an OrderedDict with _metadata) and add one tensor of every kind."""
    tensors = torch.nn.BatchNorm2d(2).state_dict()
    for dtype in DTYPES:
        tensors[str(dtype).removeprefix("torch.")] = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype)
    tensors["scalar"] = torch.tensor(7.5)
    tensors["empty"] = torch.zeros(0, 3)
    tensors["parameter"] = torch.nn.Parameter(torch.arange(3.0))
    tensors["parameter_with_state"] = torch.nn.Parameter(torch.arange(3.0))
    tensors["parameter_with_state"].no_weight_decay = True
    tensors["frozen_parameter"] = torch.nn.Parameter(torch.arange(3.0), requires_grad=False)
    shared = torch.arange(12.0)
    tensors["shared"] = shared
    tensors["offset"] = shared[2:8]
    tensors["step"] = shared[1::3]
    tensors["transposed"] = shared.view(3, 4).t()
    tensors["channels_last"] = torch.arange(12.0).view(1, 2, 2, 3).contiguous(memory_format=torch.channels_last)
    tensors["expanded"] = torch.arange(2.0).view(2, 1).expand(2, 3)
    tensors["clé.π"] = torch.ones(1)
    return tensors


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.save(state_dict(), FOLDER / "zip.pt")
    torch.save(state_dict(), FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(state_dict(), FOLDER / "protocol4.pt", pickle_protocol=4)
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "model_state_dict": {"weight": torch.ones(1, 2), "bias": torch.zeros(1)},
        "optimizer": optimizer.state_dict(),
        "losses": [0.5, 0.25],
        "name": "run",
        "best": None,
        "done": False,
        "shape": (1, torch.Size([2])),
        "scheduler": {},
    }
    torch.save(checkpoint, FOLDER / "checkpoint.pt")
    torch.save({"model": {"w": torch.ones(1)}, "ema": {"w": torch.zeros(1)}}, FOLDER / "ambiguous.pt")


if __name__ == "__main__":
    main()
