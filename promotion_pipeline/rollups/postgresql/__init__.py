"""Hourly sums of the product's own request table, computed where the rows are.

Logs elsewhere belong in `engines`.
"""
