"""What images are built from: the Debian base, Python packages, MinIO, and one recipe for each image."""
