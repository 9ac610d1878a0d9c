-- name: missing_window
-- From the first to the last hour that was never rolled up, since the oldest phase that is running.
SELECT min(passed.hour) AS first, max(passed.hour) + interval '1 hour' AS after_last
FROM (SELECT greatest({start}, (SELECT before FROM dropped_requests)) AS start
    FROM ab_experiment_phases AS phase
    JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
    WHERE {running} AND experiment.rollup_source = 'requests') AS oldest
CROSS JOIN LATERAL generate_series(oldest.start, {end} - interval '1 hour', '1 hour') AS passed(hour)
WHERE NOT EXISTS (SELECT 1 FROM rollup_hours WHERE rollup_hours.hour = passed.hour)

-- name: read_hours
-- Hours of running phases that were rolled up, with the requests that they had then.
SELECT hour, requests FROM rollup_hours
WHERE hour < %(end)s AND hour >= greatest((SELECT before FROM dropped_requests), (
    SELECT date_bin('1 hour', min(greatest(phase.started_at, %(end)s - interval '400 days')),
        '2000-01-01 00:00:00+00')
    FROM ab_experiment_phases AS phase JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
    WHERE {} AND experiment.rollup_source = 'requests' AND phase.started_at < %(end)s))
ORDER BY hour

-- name: changed_days
-- The days of ai_requests, with PostgreSQL's count of their changes and whether it is that of the last comparison.
-- Only a table that the product made has days: of others there is no row, and all hours are compared.
SELECT found.day, found.changes, known.changes IS NOT DISTINCT FROM found.changes AS is_settled
FROM (SELECT substring(child.relname from '[0-9]{8}$')::date AS day,
        stats.n_tup_ins + stats.n_tup_upd + stats.n_tup_del AS changes
    FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
    JOIN pg_stat_all_tables AS stats ON stats.relid = child.oid
    WHERE inhparent = 'ai_requests'::regclass AND child.relname ~ '^ai_requests_[0-9]{8}$'
        AND current_setting('track_counts')::boolean) AS found
LEFT JOIN compared_days AS known ON known.day = found.day

-- name: note_compared_days
-- Remember the count of changes that days had when they were compared; forget days that were dropped.
WITH gone AS (DELETE FROM compared_days WHERE day < (SELECT before::date FROM dropped_requests))
INSERT INTO compared_days (day, changes) SELECT * FROM unnest(%(days)s::date[], %(changes)s::bigint[])
ON CONFLICT (day) DO UPDATE SET changes = excluded.changes
