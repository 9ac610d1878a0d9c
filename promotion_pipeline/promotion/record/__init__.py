"""What is stored about experiments, promotions and approvals, and the one transaction that changes it.

Not here: a rule, a decision, or an act with a name.
"""
