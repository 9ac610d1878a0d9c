"""What promotions promised and what came of it: measured after the promotion, and added up over all of them.

Not here: whatever changes traffic (`act`), and whether a winner is harmed right now (`watch`).
"""
