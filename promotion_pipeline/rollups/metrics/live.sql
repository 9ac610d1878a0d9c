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

-- name: make_hours
-- Which hours of the log are to be looked at.
CREATE TEMPORARY TABLE metric_hours (hour timestamptz, phase_id uuid, PRIMARY KEY (hour, phase_id)) ON COMMIT DROP

-- name: come_late
-- Whether events of metrics are noted that are in no sum yet.
SELECT EXISTS (SELECT 1 FROM metric_event_changes AS changed WHERE changed.hour < {until}
    AND changed.experiment_id IN (SELECT phase.experiment_id FROM ab_experiment_phases AS phase WHERE {wanted})) AS found

-- name: hide_stored
-- A temporary table comes before every other of its name: only phases of which requests were dropped are still summed up.
CREATE TEMPORARY TABLE {table} ON COMMIT DROP AS
SELECT stored.* FROM {table} AS stored JOIN ab_experiment_phases AS phase ON phase.id = stored.phase_id
WHERE phase.id = ANY(%(ids)s::uuid[]) AND phase.started_at < (SELECT before FROM dropped_requests)

-- name: note_all_hours
-- All hours of the other phases.
INSERT INTO metric_hours
SELECT passed.hour, phase.id FROM ab_experiment_phases AS phase
CROSS JOIN LATERAL generate_series(
    date_bin('1 hour', greatest(phase.started_at, %(as_of)s - %(longest)s::interval), '2000-01-01 00:00:00+00'),
    least(coalesce(phase.ended_at, 'infinity'), %(as_of)s) - interval '1 microsecond', '1 hour') AS passed (hour)
WHERE phase.id = ANY(%(ids)s::uuid[])
    AND coalesce(phase.started_at >= (SELECT before FROM dropped_requests), true)
ON CONFLICT DO NOTHING
