"""The lifecycle: check, promote, approve, ramp, watch, roll back, history.

Every act is one transaction that locks the experiment, re-checks and writes everything or nothing.
"""
