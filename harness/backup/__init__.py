"""Messages 1.1 to 1.7.2: backups of the live primary."""
