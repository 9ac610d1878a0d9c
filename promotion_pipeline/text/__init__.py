"""How numbers, times and shares are written for people, once for every door.

No sentence about one event belongs here.
"""
