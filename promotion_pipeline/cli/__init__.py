"""The command line: `promotion-pipeline`. Commands import what they need when they run, so that `--help` is quick.

Not here: work of its own: a command reads its options, calls one function of another room, and prints.
"""
