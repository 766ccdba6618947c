"""Speed and memory beside the official PyTorch code: `python -m experiments.benchmark --help`."""
