"""The campaigns in short. Each campaign is a package of its own with a command: `faults`, `hostile`, `adoption`.

Not here: the campaigns, and what judges them.
"""
