"""The front door, the name service, and clients that use them."""
