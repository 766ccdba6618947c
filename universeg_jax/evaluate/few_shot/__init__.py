"""Measure one-shot segmentation of volumes by the protocol of SSL-ALPNet and ProtoSAM."""
