"""Does constraint relaxation help on charged particles? Paired runs of every arm; ``python -m benchmarks.nbody --help``."""
