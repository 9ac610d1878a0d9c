"""The SQL of a log: one template, filled in for an engine's dialect and a team's columns.

Not here: asking: whoever has an engine asks.
"""
