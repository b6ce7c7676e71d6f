"""Values and pure functions of drills: no I/O, only the standard library.

More than ten files because each holds one concept (errors, clock, journal, judge, ...) that most packages import.
"""
