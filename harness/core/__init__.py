"""Values and pure functions, without I/O, on the standard library alone.

More than ten files because each holds one concept that most of the packages above import by itself: errors, clock,
journal, ledger, judge, record and so on.
"""
