-- name: bounds
-- Where the requests of phases begin, and what is known to be missing of them.
SELECT phase.id, phase.experiment_id,
    greatest(phase.started_at, dropped.before, '1700-01-01 00:00Z') AS since,
    experiment.rollup_source = 'requests' AND NOT EXISTS (SELECT 1 FROM eligibility_decisions AS decided
        WHERE decided.experiment_id = phase.experiment_id AND decided.hour = %(until)s - interval '1 hour')
        AS is_awaited,
    experiment.rollup_source = 'requests' AND dropped.before > phase.started_at
        AND NOT coalesce(known.covered, '{}') @> tstzrange(phase.started_at, least(dropped.before, %(until)s))
        AS was_dropped_unread
FROM ab_experiment_phases AS phase JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
LEFT JOIN phase_rollups AS known ON known.phase_id = phase.id
LEFT JOIN dropped_requests AS dropped ON true
WHERE phase.id = ANY(%(ids)s) AND phase.started_at < %(until)s

-- name: stored_requests
-- What the stored rollups of the running phases add up to.
SELECT phase.id::text AS phase_id, coalesce(max(rollup.hour), {until} - interval '1 hour') AS hour,
    coalesce(sum(rollup.requests), 0)::bigint AS requests
FROM ab_experiment_phases AS phase
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id AND experiment.rollup_source = 'requests'
LEFT JOIN hourly_variant_rollups AS rollup ON rollup.experiment_id = phase.experiment_id
    AND rollup.phase_id = phase.id AND rollup.hour < {until}
    AND rollup.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')
WHERE {running} AND phase.started_at < {until} GROUP BY phase.id
