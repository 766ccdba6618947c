"""Episodes to learn from: drawn from a corpus, synthetic, from superpixels, and streams of batches."""
