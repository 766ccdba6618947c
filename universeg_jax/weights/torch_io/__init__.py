"""Read and write PyTorch weight files without PyTorch and without executing anything."""
