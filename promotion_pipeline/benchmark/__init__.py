"""Benchmarks: every performance figure of the README comes from `python -m promotion_pipeline.benchmark`."""
