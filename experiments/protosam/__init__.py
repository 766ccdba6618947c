"""Segmentation from one labelled image: ProtoSAM and UniverSeg."""
