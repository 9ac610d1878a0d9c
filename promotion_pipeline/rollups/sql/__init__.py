"""The SQL of a log: one template, filled in for an engine's dialect and a team's columns.

Nothing is asked here: whoever has an engine asks.
"""
