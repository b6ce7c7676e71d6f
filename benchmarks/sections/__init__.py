"""The sections of `docs/BENCHMARKS.md`, each from the rows of one benchmark."""
