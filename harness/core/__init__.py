"""Values and pure functions of drills: no I/O, only the standard library."""
