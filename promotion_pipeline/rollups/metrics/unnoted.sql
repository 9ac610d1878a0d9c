-- name: unnoted
-- Hours of users in which the events that are there are not those that were counted, though nothing says that they
-- changed: neither in the sums nor to come. Exact: both are sums of the same numbers.
WITH metric AS MATERIALIZED (
    SELECT listed.*, greatest(listed.started_at, (SELECT before FROM dropped_requests), %(since)s) AS since,
        least(listed.ended_at, %(until)s) AS until
    FROM jsonb_to_recordset(%(metrics)s) AS listed (phase_id uuid, experiment_id uuid, started_at timestamptz,
        ended_at timestamptz, metric text, event text)
    JOIN metric_phases AS built USING (phase_id, metric)
    WHERE listed.event IS NOT NULL AND user_ids_can_be_kept()
), present AS (
    SELECT metric.phase_id, metric.metric, known.user_id,
        date_bin('1 hour', event.created_at, '2000-01-01 00:00:00+00') AS hour,
        min(event.user_id) AS raw_id, count(*) AS number, coalesce(sum({amount}), 0) AS value
    FROM metric
    JOIN ai_events AS event ON event.experiment_id = metric.experiment_id AND event.name = metric.event
        AND event.created_at >= metric.since AND event.created_at < metric.until
    JOIN metric_users AS known ON known.phase_id = metric.phase_id AND known.user_id = kept_user_id(event.user_id)
        AND known.exposed_at <= event.created_at
    GROUP BY 1, 2, 3, 4
), counted AS (
    -- The hour in which a phase, or what was kept, begins is looked at whole only where all of it was.
    SELECT stored.phase_id, stored.metric, stored.user_id, stored.hour, stored.number, stored.value
    FROM metric JOIN hourly_user_metrics AS stored ON stored.phase_id = metric.phase_id
        AND stored.metric = metric.metric AND stored.hour >= date_bin('1 hour', metric.since, '2000-01-01 00:00:00+00')
        AND stored.hour < metric.until
), noted AS (
    SELECT DISTINCT changed.experiment_id, changed.name, changed.hour, kept_user_id(changed.user_id) AS user_id
    FROM metric_event_changes AS changed
    WHERE changed.experiment_id IN (SELECT experiment_id FROM metric) AND changed.hour < %(until)s
)
SELECT metric.phase_id, metric.experiment_id, metric.event AS name, found.hour, found.user_id, present.raw_id,
    max(coalesce(present.number, 0)) AS present_events, max(coalesce(counted.number, 0)) AS counted_events
FROM present FULL JOIN counted USING (phase_id, metric, user_id, hour)
CROSS JOIN LATERAL (SELECT phase_id, metric, user_id, hour) AS found
JOIN metric ON (metric.phase_id, metric.metric) = (found.phase_id, found.metric)
WHERE (coalesce(present.number, 0) <> coalesce(counted.number, 0)
        OR coalesce(present.value, 0) <> coalesce(counted.value, 0))
    AND NOT EXISTS (SELECT 1 FROM noted
        WHERE (noted.experiment_id, noted.name, noted.hour, noted.user_id)
            = (metric.experiment_id, metric.event, found.hour, found.user_id))
GROUP BY 1, 2, 3, 4, 5, 6

-- name: by_phase
-- How many events, and in how many hours, are not counted, or counted and gone.
SELECT phase_id, count(DISTINCT hour) AS hours, sum(greatest(present_events - counted_events, 0))::bigint AS uncounted,
    sum(greatest(counted_events - present_events, 0))::bigint AS gone,
    count(*) FILTER (WHERE present_events = counted_events) AS changed
FROM ({unnoted}) AS unnoted GROUP BY phase_id

-- name: note
-- Noted, the next hourly run counts them. What is gone stays counted, as requests that are gone do.
INSERT INTO metric_event_changes (experiment_id, user_id, name, hour)
SELECT DISTINCT experiment_id, raw_id, name, hour FROM ({unnoted}) AS unnoted WHERE present_events >= counted_events
ORDER BY 1, 4, 2, 3

-- name: sums_astray
-- Hours in which the sums of a phase's event metrics are not those of its users: something else wrote into them.
SELECT phase_id, count(DISTINCT hour) AS hours
FROM (SELECT stored.phase_id, stored.metric, stored.hour, sum(stored.samples) AS samples
    FROM hourly_metric_rollups AS stored
    JOIN jsonb_to_recordset(%(metrics)s) AS metric (phase_id uuid, metric text, event text) USING (phase_id, metric)
    WHERE metric.event IS NOT NULL GROUP BY 1, 2, 3) AS sums
FULL JOIN (SELECT stored.phase_id, stored.metric, stored.hour, sum(stored.number) AS number
    FROM hourly_user_metrics AS stored
    JOIN jsonb_to_recordset(%(metrics)s) AS metric (phase_id uuid, metric text, event text) USING (phase_id, metric)
    WHERE metric.event IS NOT NULL AND stored.hour > '-infinity' GROUP BY 1, 2, 3) AS users
    USING (phase_id, metric, hour)
WHERE coalesce(samples, 0) <> coalesce(number, 0) AND hour < %(until)s
GROUP BY phase_id
