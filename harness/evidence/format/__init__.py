"""File formats of the evidence: what is written is canonical, and what is read back is checked strictly."""
