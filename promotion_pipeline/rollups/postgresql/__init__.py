"""Hourly sums of the product's own request table, computed where the rows are.

Not here: logs elsewhere; they belong in `engines`.
"""
