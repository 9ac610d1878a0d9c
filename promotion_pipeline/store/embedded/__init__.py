"""The PostgreSQL server of one's own: its binaries, its folder, its life.

Nothing that the product stores belongs here.
"""
