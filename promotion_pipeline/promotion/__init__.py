"""The lifecycle: check, promote, approve, ramp, watch, roll back, history.

Not here: Dagster, HTTP and formulas, and an act that is not one transaction.

Every act is one transaction that locks the experiment, re-checks and writes everything or nothing.
"""
