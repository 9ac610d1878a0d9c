"""Everything that imports Dagster: assets, checks, jobs, schedules, sensors, resources and runs.

Not here: rules and queries: an asset reads, calls one function of another room, writes, and reports.
"""
