"""One module and one SQL file a revision, applied in the order of their numbers.

Not here: a change of a revision that a release has had.
"""
