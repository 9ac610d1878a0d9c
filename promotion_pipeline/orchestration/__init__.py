"""Everything that imports Dagster: assets, checks, jobs, schedules, sensors, resources and runs.

No rule and no query belongs here: an asset reads, calls one function of another room, writes, and reports.
"""
