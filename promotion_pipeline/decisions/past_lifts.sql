-- name: newly_ended
-- Running phases with which their experiment stopped, that have sums, and whose lifts are not kept yet.
SELECT phase.id::text AS phase_id, phase.experiment_id::text AS experiment_id, phase.started_at, phase.ended_at
FROM ab_experiment_phases AS phase
WHERE phase.is_running AND phase.ended_at <= {settled}
    AND EXISTS (SELECT 1 FROM hourly_variant_rollups AS sums WHERE sums.phase_id = phase.id)
    AND NOT EXISTS (SELECT 1 FROM ended_lifts AS kept WHERE kept.phase_id = phase.id)
    AND NOT EXISTS (SELECT 1 FROM ab_experiment_phases AS next
        WHERE next.experiment_id = phase.experiment_id AND next.started_at = phase.ended_at AND next.is_running)
ORDER BY phase.ended_at, phase.id LIMIT {most}
-- name: known
-- The lifts that the evaluation of an hour may know.
SELECT lift, standard_error FROM ended_lifts WHERE known_from <= {as_of} ORDER BY phase_id, variant_id
-- name: rollups
-- The stored sums of phases.
SELECT {columns} FROM hourly_variant_rollups AS rollup WHERE rollup.phase_id = ANY({phases}::uuid[])
-- name: keep
-- Write what was found, once; it counts from the next full hour on.
INSERT INTO ended_lifts (phase_id, variant_id, experiment_id, ended_at, known_from, lift, standard_error)
VALUES (%(phase_id)s, %(variant_id)s, %(experiment_id)s, %(ended_at)s,
    date_trunc('hour', clock_timestamp(), 'UTC') + interval '1 hour', %(lift)s, %(standard_error)s)
ON CONFLICT DO NOTHING
