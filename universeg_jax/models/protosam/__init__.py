"""ProtoSAM: features, prototypes, components, prompts, and the refinement by a SAM."""
