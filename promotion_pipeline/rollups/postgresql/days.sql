-- name: old_days
-- Days of ai_requests of before a day that may be dropped.
SELECT child.relname AS name, substring(child.relname from '[0-9]{8}$')::date AS day
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'ai_requests'::regclass AND child.relname ~ '^ai_requests_[0-9]{8}$'
    AND substring(child.relname from '[0-9]{8}$')::date < %s
    AND NOT EXISTS (SELECT 1 FROM adopted_tables WHERE name = 'ai_requests')
ORDER BY 2

-- name: has_unread_hours
-- Whether a day has requests that are in no rollup, of everybody or of a running experiment.
SELECT EXISTS (
    SELECT 1 FROM promotion_pipeline_requests AS request WHERE created_at >= %(start)s AND created_at < %(end)s
        AND NOT EXISTS (SELECT 1 FROM rollup_hours
            WHERE hour = date_bin('1 hour', request.created_at, '2000-01-01 00:00:00+00')))
    OR EXISTS (
        -- Read for others, when this experiment was not known yet.
        SELECT 1 FROM ab_experiment_phases AS phase
        JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
        LEFT JOIN phase_rollups AS known ON known.phase_id = phase.id
        WHERE phase.is_running AND phase.ended_at IS NULL AND experiment.rollup_source = 'requests'
            AND phase.started_at < %(end)s
            AND NOT coalesce(known.covered, '{}') @> tstzrange(greatest(phase.started_at, %(start)s), %(end)s)
            AND EXISTS (SELECT 1 FROM promotion_pipeline_requests AS request
                WHERE request.experiment_id = experiment.id
                AND request.created_at >= greatest(phase.started_at, %(start)s) AND request.created_at < %(end)s)
    ) AS found
