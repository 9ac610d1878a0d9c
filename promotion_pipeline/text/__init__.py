"""How numbers, times and shares are written for people, once for every door.

Not here: sentences about one event; they are in the room that says them.
"""
