-- name: clock
-- The database's time, and since when requests are kept.
SELECT now() AS now, (SELECT max(before) FROM dropped_requests) AS dropped_before

-- name: named_experiments
-- The experiments of these names or ids with their variants.
SELECT e.id, e.name, v.id AS variant_id, v.name AS variant_name
FROM ab_experiments AS e LEFT JOIN ab_variants AS v ON v.experiment_id = e.id
WHERE e.name = ANY(%(names)s) OR e.id::text = ANY(%(ids)s)

-- name: remember_requests
-- Note that these requests were sent, as far as they were not before; ids and times with commas between them.
INSERT INTO sent_requests (id, created_at)
SELECT * FROM unnest(string_to_array(%(ids)s, ',')::uuid[], string_to_array(%(times)s, ',')::timestamptz[])
ON CONFLICT (id) DO NOTHING

-- name: forget_old_requests
-- Ids of requests that nobody sends again; a part at a time, and none that another batch is at.
DELETE FROM sent_requests WHERE id IN (
    SELECT id FROM sent_requests WHERE received_at < now() - interval '35 days' LIMIT 20000 FOR UPDATE SKIP LOCKED
)

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
SELECT id FROM ai_events WHERE id = ANY(%(ids)s::uuid[])

-- name: make_arriving_events
-- Where a batch waits to be compared with what is there.
CREATE TEMPORARY TABLE IF NOT EXISTS arriving_events (LIKE ai_events) ON COMMIT DROP

-- name: keep_arriving_events
-- The events that are new; returns their ids.
INSERT INTO ai_events SELECT * FROM arriving_events ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id
