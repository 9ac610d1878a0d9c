"""Versioned schema: `versions/NNNN_name.py` runs `NNNN_name.sql`.

Not here: queries of the product, and a way backwards.
"""
