"""How numbers, times, shares and plain tables are written for people, and how a server's `Retry-After` is read: once.

And the one picture that several doors show: the forest plot of all experiments (`forest`).

Not here: sentences about one event; they are in the room that says them.
"""
