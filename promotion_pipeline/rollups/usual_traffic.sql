-- name: quiet_suspects
-- The same hour of a week of days, of experiments that may have far fewer requests than usual.
WITH counts AS (
    SELECT phase_id, hour, sum(requests) AS requests FROM hourly_variant_rollups
    WHERE hour = ANY(ARRAY(SELECT generate_series({first}, {hour}, '1 day'))) GROUP BY 1, 2
), suspects AS (
    -- A median is at most the largest: few experiments need a closer look.
    SELECT phase_id FROM counts GROUP BY 1
    HAVING coalesce(max(requests) FILTER (WHERE hour = {hour}), 0) < {share} * max(requests)
)
SELECT experiment.name::text AS experiment_id, phase.started_at, counts.hour, counts.requests::bigint AS requests
FROM suspects JOIN counts USING (phase_id)
JOIN ab_experiment_phases AS phase ON phase.id = suspects.phase_id
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
WHERE phase.is_running AND phase.started_at < {at} AND coalesce(phase.ended_at, 'infinity') >= {at}
    AND experiment.rollup_source = 'requests'
