"""Networks: UniverSeg, SAM and DINOv2, and the system ProtoSAM."""
