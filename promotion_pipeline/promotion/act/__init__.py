"""What is done to one experiment, one transaction each: promote, approve, decline, ramp, roll back, hold, keep.

Not here: who starts it: a person through a door, or `unattended`.
"""
