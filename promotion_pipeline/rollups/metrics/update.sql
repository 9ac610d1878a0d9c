-- name: note_hours
-- Hours of phases with metrics in which the log is not what was summed up: compared before the sums are written.
CREATE TEMPORARY TABLE metric_hours ON COMMIT DROP AS
SELECT moved.hour, moved.phase_id FROM moved_hours AS moved
JOIN ab_experiment_phases AS phase ON phase.id = moved.phase_id AND phase.fixed <> '{}'
UNION
SELECT fresh.hour, fresh.phase_id FROM fresh
JOIN ab_experiment_phases AS phase ON phase.id = fresh.phase_id AND phase.fixed <> '{}'
JOIN hourly_variant_rollups AS stored
    ON (stored.hour, stored.phase_id, stored.variant_id) = (fresh.hour, fresh.phase_id, fresh.variant_id)
WHERE (stored.errors, stored.latency_samples) IS DISTINCT FROM (fresh.errors, fresh.latency_samples)
    OR abs(stored.latency_ms_sum - fresh.latency_ms_sum) > 1e-9 * greatest(stored.latency_ms_sum, fresh.latency_ms_sum)

-- name: key_hours
-- An hour of a phase is looked at once.
ALTER TABLE metric_hours ADD PRIMARY KEY (hour, phase_id)

-- name: remove_stale
-- What users did, as it was known before: by its place, which nobody moves while the rollups are locked.
DELETE FROM hourly_user_metrics WHERE ctid = ANY(ARRAY(
    SELECT stale.place FROM metric_stale AS stale JOIN metric_changed USING (phase_id, user_id)))

-- name: write_fresh
-- What users did, as it is known now.
INSERT INTO hourly_user_metrics (phase_id, user_id, metric, hour, variant_id, value, number, squares)
SELECT phase_id, user_id, metric, hour, variant_id, value, number, squares
FROM metric_fresh JOIN metric_changed USING (phase_id, user_id) ORDER BY 1, 2, 3, 4

-- name: forget_lost
-- Users of whom no request is left.
DELETE FROM metric_users AS known USING metric_lost AS lost
WHERE (lost.phase_id, lost.user_id) = (known.phase_id, known.user_id)

-- name: write_users
-- When users were first served.
INSERT INTO metric_users AS known (phase_id, user_id, variant_id, exposed_at, past_until)
SELECT phase_id, user_id, variant_id, exposed_at, past_until FROM metric_new_users ORDER BY 1, 2
ON CONFLICT (phase_id, user_id) DO UPDATE
SET variant_id = excluded.variant_id, exposed_at = excluded.exposed_at, past_until = excluded.past_until

-- name: add_difference
-- Add what has changed to the sums.
INSERT INTO hourly_metric_rollups AS stored ({columns})
SELECT {columns} FROM metric_difference ORDER BY phase_id, hour
ON CONFLICT (phase_id, hour, variant_id, metric) DO UPDATE SET {assignments}

-- name: note_built
-- The sums of these metrics are made.
INSERT INTO metric_phases (phase_id, metric) SELECT phase_id, metric FROM metric_list WHERE is_new
ON CONFLICT DO NOTHING

-- name: events_of_nobody
-- Events of metrics whose user was never served by their experiment, or only later.
SELECT experiment.name::text, changed.name, count(*), count(DISTINCT changed.user_id)
FROM metric_event_hours AS changed
JOIN ab_experiments AS experiment ON experiment.id = changed.experiment_id
JOIN ai_events AS event ON event.user_id = changed.raw_id AND event.name = changed.name
    AND event.experiment_id = changed.experiment_id
    AND event.created_at >= changed.hour AND event.created_at < changed.hour + interval '1 hour'
WHERE EXISTS (SELECT 1 FROM metric_list AS metric
        WHERE metric.experiment_id = changed.experiment_id AND metric.event = changed.name)
    AND NOT EXISTS (SELECT 1 FROM metric_list AS metric
        JOIN metric_users AS known ON known.phase_id = metric.phase_id AND known.user_id = changed.user_id
        WHERE metric.experiment_id = changed.experiment_id AND known.exposed_at <= event.created_at)
GROUP BY 1, 2 ORDER BY 1, 2

-- name: unusable_values
-- Values of events that no sum can hold.
SELECT experiment.name::text, metric.event, sum(fresh.unusable)::bigint
FROM metric_fresh AS fresh JOIN metric_list AS metric USING (phase_id, metric)
JOIN ab_experiments AS experiment ON experiment.id = metric.experiment_id
WHERE fresh.unusable > 0 GROUP BY 1, 2 ORDER BY 1, 2
