-- name: that_matter
-- Of the newest hour of record, the experiments of each verdict that matter most, as `text.forest` ranks them, and how
-- many there are of each.
WITH decided AS (
    SELECT experiment.name::text AS name, CASE WHEN is_promotable THEN 'promotable' ELSE verdict END AS group_name,
        improvement, lift_lower, lift_upper, as_of
    FROM eligibility_decisions AS decision JOIN ab_experiments AS experiment ON experiment.id = decision.experiment_id
    WHERE decision.label = %(label)s
        AND decision.hour = (SELECT max(hour) FROM eligibility_decisions WHERE label = %(label)s)
), ranked AS (
    SELECT *, count(*) OVER (PARTITION BY group_name) AS total, row_number() OVER (PARTITION BY group_name
        ORDER BY improvement IS NULL OR lift_lower IS NULL OR lift_upper IS NULL,
            CASE WHEN group_name = 'rejected' THEN lift_upper ELSE -lift_lower END, name) AS rank
    FROM decided
)
SELECT name, group_name, improvement, lift_lower, lift_upper, as_of, total FROM ranked WHERE rank <= %(most)s
