"""File formats of the evidence, what one file gives of another, and what is read back, which is checked strictly."""
