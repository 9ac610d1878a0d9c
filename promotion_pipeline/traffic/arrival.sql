-- name: known_requests
-- Which of these requests were sent.
SELECT id FROM sent_requests WHERE id = ANY(%(ids)s::uuid[])

-- name: write_outcomes
-- What became of requests, on their rows; returns those that changed.
WITH outcome AS (
    SELECT o.*, s.created_at
    FROM unnest(%(ids)s::uuid[], %(converted)s::boolean[], %(errors)s::boolean[], %(latencies)s::float8[],
        %(values)s::numeric[]) AS o(id, converted, is_error, latency_ms, value)
    JOIN sent_requests AS s ON s.id = o.id
)
UPDATE ai_requests AS r SET
    converted = coalesce(o.converted, r.converted),
    is_error = coalesce(o.is_error, r.is_error),
    latency_ms = coalesce(o.latency_ms, r.latency_ms),
    value = coalesce(o.value, r.value)
FROM outcome AS o
WHERE r.created_at = o.created_at AND r.id = o.id AND (
    (coalesce(o.converted, r.converted), coalesce(o.is_error, r.is_error), coalesce(o.latency_ms, r.latency_ms),
        coalesce(o.value, r.value))
    IS DISTINCT FROM (r.converted, r.is_error, r.latency_ms, r.value))
RETURNING r.id

-- name: known_events
-- Which of these events are there.
SELECT id::text AS id FROM ai_events WHERE id = ANY(string_to_array(%(ids)s, ',')::uuid[])

-- name: make_arriving_events
-- Where a batch waits to be compared with what is there.
CREATE TEMPORARY TABLE IF NOT EXISTS arriving_events (LIKE ai_events) ON COMMIT DROP

-- name: keep_arriving_events
-- The events that are new; returns their ids.
INSERT INTO ai_events (id, experiment_id, user_id, created_at, name, value)
SELECT id, experiment_id, user_id, created_at, name, value FROM arriving_events ORDER BY id
ON CONFLICT (id) DO NOTHING RETURNING id
