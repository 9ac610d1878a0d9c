"""The engines that may hold a log: one file an engine, and how one is opened.

Not here: SQL that all engines share; it is in `sql`.
"""
