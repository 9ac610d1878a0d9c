-- name: counts
-- The requests of spans: of the log, or of the stored hours where they are imported.
-- OFFSET 0 keeps the counting of a span from becoming a join that reads the whole table.
SELECT wanted.key, CASE WHEN experiment.rollup_source = 'requests' THEN counted.requests
    ELSE imported.requests END AS requests
FROM (VALUES {}) AS wanted (key, experiment_id, since, until)
JOIN ab_experiments AS experiment ON experiment.id = wanted.experiment_id
CROSS JOIN LATERAL (SELECT count(*) AS requests FROM promotion_pipeline_requests AS request
    WHERE experiment.rollup_source = 'requests' AND request.experiment_id = wanted.experiment_id
        AND request.created_at >= wanted.since AND request.created_at < wanted.until
        AND request.variant_id = ANY(ARRAY(SELECT id FROM ab_variants AS variant
            WHERE variant.experiment_id = wanted.experiment_id)) OFFSET 0) AS counted
CROSS JOIN LATERAL (SELECT coalesce(sum(rollup.requests), 0)::bigint AS requests
    FROM hourly_variant_rollups AS rollup WHERE rollup.experiment_id = wanted.experiment_id
        AND experiment.rollup_source = 'imported'
        AND rollup.hour >= wanted.since AND rollup.hour < wanted.until OFFSET 0) AS imported

-- name: newest_request
-- The time of the newest request; of a plain table, which may have no index by time, of known experiments.
SELECT CASE WHEN (SELECT relkind FROM pg_class WHERE oid = 'ai_requests'::regclass) = 'p'
    THEN (SELECT max(created_at) FROM promotion_pipeline_requests
        WHERE created_at < now() + interval '1 hour')
    ELSE (SELECT max((SELECT max(request.created_at) FROM promotion_pipeline_requests AS request
        WHERE request.experiment_id = experiment.id
            AND request.created_at < now() + interval '1 hour'))
        FROM ab_experiments AS experiment) END AS newest

-- name: rows_estimate
-- About how many requests there are, from the statistics of the table's parts; -1 is a part that has none.
SELECT sum(class.reltuples) FILTER (WHERE class.reltuples >= 0)::bigint AS rows
FROM pg_partition_tree('ai_requests'::regclass) AS part JOIN pg_class AS class ON class.oid = part.relid
WHERE part.isleaf AND class.relkind = 'r'
