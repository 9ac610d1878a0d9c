"""Sums that somebody else aggregated, as rollups.

Requests belong in the other rooms of `rollups`.
"""
