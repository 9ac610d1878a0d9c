"""From hours to stored decisions: windows, blocks, late rows, labels, comparison.

No formula belongs here (that is `evaluation`), and nothing that moves traffic.
"""
