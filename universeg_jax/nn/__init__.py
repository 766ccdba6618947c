"""Building blocks of the networks: convolutions, cross-convolution, attention, layers, resampling."""
