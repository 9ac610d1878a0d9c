"""What became of a promotion: the winner in the log, the split as it stands, the alarms that are open.

Not here: whatever acts on it (`unattended`, `act`), or writes more than what it saw.
"""
