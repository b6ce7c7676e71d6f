"""Build inputs of images: the Debian base, Python packages, MinIO, and a recipe for each image."""
