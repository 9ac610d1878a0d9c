"""The engines that may hold a log: one file an engine, and how one is opened.

SQL that all engines share belongs in `sql`.
"""
