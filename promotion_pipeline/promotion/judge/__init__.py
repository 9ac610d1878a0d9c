"""Is there a winner now, and may it go unattended? Asked of the log and the rollups, answered in numbers and words.

Not here: anything that writes.
"""
