"""Segmenting by one labelled image: ProtoSAM beside UniverSeg."""
