"""Is everything as it should be? One line a check: OK, or what is wrong and the command that fixes it.

Not here: repairs: a finding names the command that does one.

    for finding in examine().findings:
        print(finding)

Nothing is changed: not the schema, not a schedule, not a row.
"""

from promotion_pipeline.doctor.examine import Diagnosis, examine
from promotion_pipeline.doctor.findings import Finding, Status

__all__ = ["Diagnosis", "Finding", "Status", "examine"]
