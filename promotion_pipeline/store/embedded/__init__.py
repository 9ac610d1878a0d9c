"""The PostgreSQL server of one's own: its binaries, its folder, its life.

Not here: anything that the product stores.
"""
