"""How numbers, times, shares and plain tables are written for people, once for every door.

No sentence about one event belongs here, and nothing of the package but errors and config is imported.
"""
