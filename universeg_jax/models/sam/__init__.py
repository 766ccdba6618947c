"""SAM and its relatives MedSAM, MobileSAM and LiteMedSAM."""
