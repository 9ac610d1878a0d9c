"""Sums that somebody else aggregated, as rollups.

Not here: requests; they belong in the other rooms of `rollups`.
"""
