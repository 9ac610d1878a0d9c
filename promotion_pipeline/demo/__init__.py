"""The demo: experiments with known endings, put through the real graph.

Not here: a shortcut past the real graph.
"""
