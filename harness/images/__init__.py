"""Container images of the docker and kind substrates: look-up, pull, build and storage."""
