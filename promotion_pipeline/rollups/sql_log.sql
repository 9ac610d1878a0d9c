-- name: variants
-- The variants of experiments, with their names and where their requests are.
SELECT experiment.id::text AS experiment_id, experiment.name AS experiment_name, experiment.rollup_source,
    variant.id::text AS variant_id, variant.name AS variant_name
FROM ab_experiments AS experiment JOIN ab_variants AS variant ON variant.experiment_id = experiment.id
WHERE {} ORDER BY 1, 4

-- name: imported_sums
-- The sums of spans from stored rollups: of hours that begin in their span.
SELECT wanted.key, rollup.variant_id::text AS variant_id,
    rollup.hour + interval '1 hour' > wanted.recent_since AS is_recent,
    sum(rollup.requests)::bigint AS requests, sum(rollup.errors)::bigint AS errors,
    coalesce(sum(rollup.requests) FILTER (WHERE is_mature), 0)::bigint AS matured_requests,
    coalesce(sum(rollup.conversions) FILTER (WHERE is_mature), 0)::bigint AS conversions,
    sum(rollup.latency_samples)::bigint AS latency_samples,
    sum(rollup.latency_ms_sum)::float8 AS latency_ms_sum,
    sum(rollup.latency_ms_sum_squares)::float8 AS latency_ms_sum_squares,
    coalesce(sum(rollup.value_sum) FILTER (WHERE is_mature), 0)::float8 AS value_sum,
    coalesce(sum(rollup.value_sum_squares) FILTER (WHERE is_mature), 0)::float8 AS value_sum_squares
FROM (VALUES {}) AS wanted (key, experiment_id, since, until, mature_before, recent_since)
JOIN hourly_variant_rollups AS rollup ON rollup.experiment_id = wanted.experiment_id
    AND rollup.hour >= wanted.since AND rollup.hour < wanted.until
CROSS JOIN LATERAL (SELECT rollup.hour + interval '1 hour' <= wanted.mature_before AS is_mature) AS mature
GROUP BY 1, 2, 3
