-- name: unusable_numbers
-- Numbers that were left out of the sums in `fresh`, by experiment.
SELECT experiment.name::text AS experiment_name, sum(unusable_latencies)::bigint AS latencies,
    sum(unusable_values)::bigint AS values
FROM fresh JOIN ab_experiments AS experiment ON experiment.id = fresh.experiment_id
GROUP BY 1 HAVING sum(unusable_latencies + unusable_values) > 0 ORDER BY 1
