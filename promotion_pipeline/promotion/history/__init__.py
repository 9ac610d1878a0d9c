"""What happened and what stands: read for people, from the record.

Not here: anything that decides or writes.
"""
