"""How numbers, times, shares and plain tables are written for people, once for every door.

Not here: sentences about one event; they are in the room that says them.
"""
