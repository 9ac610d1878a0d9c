-- name: freshness
-- The newest request of every experiment that was running, and how old it was.
SELECT experiment.name, newest.newest_request_at,
    extract(epoch FROM %(at)s - coalesce(newest.newest_request_at, phase.started_at))::float8 / 3600
        AS staleness_hours
FROM ab_experiment_phases AS phase
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
LEFT JOIN LATERAL (
    SELECT max(rollup.newest_request_at) AS newest_request_at
    FROM (
        SELECT hour FROM hourly_variant_rollups AS earlier
        WHERE earlier.experiment_id = phase.experiment_id AND earlier.phase_id = phase.id
            AND earlier.hour < %(at)s AND earlier.requests > 0
        ORDER BY earlier.hour DESC LIMIT 1
    ) AS last
    JOIN hourly_variant_rollups AS rollup ON rollup.hour = last.hour AND rollup.phase_id = phase.id
) AS newest ON true
WHERE phase.is_running AND phase.started_at < %(at)s AND coalesce(phase.ended_at, 'infinity') >= %(at)s
    AND experiment.rollup_source = 'requests'
ORDER BY 3 DESC, 1
