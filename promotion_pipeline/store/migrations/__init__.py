"""Versioned schema: `versions/NNNN_name.py` runs `NNNN_name.sql`."""
