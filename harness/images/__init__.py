"""The images that sites of containers are made of."""
