"""Benchmarks: every performance figure of docs/measured.md comes from `python -m promotion_pipeline.benchmark`.

Not here: anything that the product runs, and a figure that a test asserts.
"""
