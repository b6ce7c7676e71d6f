"""The node image of kind and kind itself, built from source, and the stock of preloaded images."""
