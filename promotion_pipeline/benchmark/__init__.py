"""Benchmarks: every performance figure of docs/measured.md comes from `python -m promotion_pipeline.benchmark`."""
