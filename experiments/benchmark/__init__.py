"""Speed and memory compared with the official PyTorch code: `python -m experiments.benchmark --help`."""
