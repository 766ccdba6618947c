"""Train the image encoder of ProtoSAM on superpixels, without annotations."""
