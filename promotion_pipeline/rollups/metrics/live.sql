-- name: note_missing_hours
-- The hours that are in no rollup yet, of the phases that lack them.
INSERT INTO metric_hours
SELECT passed.hour, phase.id FROM ab_experiment_phases AS phase
CROSS JOIN LATERAL generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour')
    AS passed (hour)
WHERE phase.experiment_id = ANY(%(ids)s::uuid[]) AND phase.id = ANY(%(phases)s::uuid[])
    AND phase.started_at < passed.hour + interval '1 hour' AND coalesce(phase.ended_at, 'infinity') > passed.hour
    AND passed.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')
ON CONFLICT DO NOTHING
