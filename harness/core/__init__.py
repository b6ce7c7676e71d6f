"""Values and pure functions of drills: no I/O, only the standard library.

More than ten files because each holds one concept that most of the packages above import by itself: errors, clock,
journal, ledger, judge, record and so on.
"""
