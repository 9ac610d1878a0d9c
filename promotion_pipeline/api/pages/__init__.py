"""The evidence page: server-rendered, without scripts, behind the same guard as the API.

Not here: figures that the API does not have, and scripts that a browser must run.
"""
