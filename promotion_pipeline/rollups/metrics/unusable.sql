-- name: unusable
-- Values of events that no sum can hold, of metrics that sum them up.
SELECT phase.id AS phase_id, experiment.name::text AS experiment_name, metric.name AS metric, count(*) AS values
FROM ab_experiment_phases AS phase
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
CROSS JOIN LATERAL (SELECT substr(part.key, 8) AS name, part.value ->> 'event' AS event FROM jsonb_each(phase.fixed) AS part
    WHERE part.key LIKE 'metric:%%' AND part.value ->> 'kind' = 'user_mean' AND part.value ? 'event') AS metric
JOIN ai_events AS event ON event.experiment_id = phase.experiment_id AND event.name = metric.event
    AND event.created_at >= greatest(phase.started_at, %(since)s)
    AND event.created_at < least(coalesce(phase.ended_at, 'infinity'), %(until)s)
WHERE phase.id = ANY(%(ids)s) AND event.value IS NOT NULL AND {amount} IS NULL
GROUP BY 1, 2, 3 ORDER BY 4 DESC, 2, 3

-- name: open_phases
-- The phases of running experiments that have metrics of events.
SELECT phase.id FROM ab_experiment_phases AS phase JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
WHERE phase.ended_at IS NULL AND experiment.is_active AND jsonb_path_exists(phase.fixed, '$.*.event')
