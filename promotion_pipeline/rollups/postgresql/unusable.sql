-- name: unusable_numbers
-- Numbers that were left out of the sums in `fresh`, by experiment.
SELECT experiment.name::text AS experiment_name, sum(unusable_latencies)::bigint AS latencies,
    sum(unusable_values)::bigint AS values
FROM fresh JOIN ab_experiments AS experiment ON experiment.id = fresh.experiment_id
GROUP BY 1 HAVING sum(unusable_latencies + unusable_values) > 0 ORDER BY 1

-- name: unusable_since
-- Numbers that no sum can hold, of running experiments' requests since an instant, by experiment.
SELECT experiment.name::text AS experiment_name,
    count(*) FILTER (WHERE request.latency_ms IS NOT NULL AND {latency} IS NULL) AS latencies,
    count(*) FILTER (WHERE request.value IS NOT NULL AND {amount} IS NULL) AS values
FROM promotion_pipeline_requests AS request
JOIN ab_experiments AS experiment ON experiment.id = request.experiment_id AND experiment.is_active
WHERE request.created_at >= %s
GROUP BY 1
HAVING bool_or(request.latency_ms IS NOT NULL AND {latency} IS NULL
    OR request.value IS NOT NULL AND {amount} IS NULL)
ORDER BY 1
