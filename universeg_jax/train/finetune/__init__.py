"""Fine-tune weights on the labelled examples of one task."""
