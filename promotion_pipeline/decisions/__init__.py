"""From hours to stored decisions: windows, blocks, late rows, labels, comparison.

Not here: formulas (they are in `evaluation`), and anything that moves traffic.
"""
