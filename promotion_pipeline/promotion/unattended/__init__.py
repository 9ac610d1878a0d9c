"""What the product does on its own: the sweep, what waits to be applied, the watch.

Not here: a door, or an act itself (`act`).
"""
