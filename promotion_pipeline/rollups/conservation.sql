-- name: hour_counts
-- A row an hour: its requests, those of them that belong nowhere, its rollups.
SELECT passed.hour, coalesce(rolled.requests, 0) AS requests,
    coalesce(rolled.unassigned_requests, 0) AS unassigned, coalesce(stored.rows, 0) AS rows
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour') AS passed(hour)
LEFT JOIN rollup_hours AS rolled ON rolled.hour = passed.hour
LEFT JOIN (
    SELECT hour, count(*) AS rows FROM hourly_variant_rollups
    WHERE hour >= %(start)s AND hour < %(end)s GROUP BY 1
) AS stored ON stored.hour = passed.hour
ORDER BY 1

-- name: unbalanced_in_table
-- Hours whose rollups are not their requests in ai_requests; one scan of the window.
WITH source AS (
    SELECT date_bin('1 hour', created_at, '2000-01-01 00:00:00+00') AS hour, count(*) AS requests
    FROM promotion_pipeline_requests WHERE created_at >= %(start)s AND created_at < %(end)s GROUP BY 1
), sums AS (
    SELECT rollup.hour, sum(rollup.requests)::bigint AS requests
    FROM hourly_variant_rollups AS rollup
    JOIN ab_experiments AS experiment ON experiment.id = rollup.experiment_id
    WHERE rollup.hour >= %(start)s AND rollup.hour < %(end)s AND experiment.rollup_source = 'requests'
    GROUP BY 1
)
SELECT rolled.hour, coalesce(source.requests, 0) AS source_requests, rolled.requests AS counted_requests,
    coalesce(sums.requests, 0) + rolled.unassigned_requests AS assigned_requests
FROM rollup_hours AS rolled LEFT JOIN source USING (hour) LEFT JOIN sums USING (hour)
WHERE rolled.hour >= %(start)s AND rolled.hour < %(end)s
    AND rolled.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')
    AND (coalesce(source.requests, 0) <> rolled.requests
        OR coalesce(sums.requests, 0) + rolled.unassigned_requests <> rolled.requests)
ORDER BY 1

-- name: unbalanced_of_hours
-- The same of single hours, each counted by itself.
SELECT rolled.hour, source.requests AS source_requests, rolled.requests AS counted_requests,
    sums.requests + rolled.unassigned_requests AS assigned_requests
FROM rollup_hours AS rolled
CROSS JOIN LATERAL (SELECT count(*) AS requests FROM promotion_pipeline_requests
    WHERE created_at >= rolled.hour AND created_at < rolled.hour + interval '1 hour') AS source
CROSS JOIN LATERAL (SELECT coalesce(sum(rollup.requests), 0)::bigint AS requests
    FROM hourly_variant_rollups AS rollup JOIN ab_experiments AS experiment
        ON experiment.id = rollup.experiment_id AND experiment.rollup_source = 'requests'
    WHERE rollup.hour = rolled.hour) AS sums
WHERE rolled.hour = ANY(%s)
    AND rolled.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')
    AND (source.requests <> rolled.requests
        OR sums.requests + rolled.unassigned_requests <> rolled.requests)
ORDER BY 1

-- name: stored_counts
-- What hours had when they were rolled up, and what their rollups add up to.
SELECT rolled.hour, rolled.requests AS counted,
    (rolled.unassigned_requests + coalesce(sum(rollup.requests), 0))::bigint AS assigned
FROM rollup_hours AS rolled
LEFT JOIN (hourly_variant_rollups AS rollup JOIN ab_experiments AS experiment
        ON experiment.id = rollup.experiment_id AND experiment.rollup_source = 'requests')
    ON rollup.hour = rolled.hour
WHERE rolled.hour >= {start} AND rolled.hour < {end}
GROUP BY rolled.hour ORDER BY rolled.hour

-- name: unbalanced_experiments
-- Whose requests of some hours are not in the sums, or were and are gone: the most first.
SELECT experiment.name, coalesce(source.requests, 0) - coalesce(sums.requests, 0) AS missing
FROM ab_experiments AS experiment
LEFT JOIN (
    SELECT request.experiment_id, count(*) AS requests
    FROM unnest(%(hours)s::timestamptz[]) AS asked(hour)
    JOIN promotion_pipeline_requests AS request
        ON request.created_at >= asked.hour AND request.created_at < asked.hour + interval '1 hour'
    GROUP BY 1
) AS source ON source.experiment_id = experiment.id
LEFT JOIN (
    SELECT experiment_id, sum(requests)::bigint AS requests FROM hourly_variant_rollups
    WHERE hour = ANY(%(hours)s) GROUP BY 1
) AS sums ON sums.experiment_id = experiment.id
WHERE experiment.rollup_source = 'requests' AND coalesce(source.requests, 0) <> coalesce(sums.requests, 0)
ORDER BY abs(coalesce(source.requests, 0) - coalesce(sums.requests, 0)) DESC, experiment.name
