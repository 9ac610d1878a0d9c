-- name: types
-- The columns of whatever is called ai_events; none where nothing is.
SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass('ai_events') AND attnum > 0 AND NOT attisdropped

-- name: probe
-- Whether it may be read.
SELECT experiment_id, user_id, created_at, name, value FROM ai_events LIMIT 0

-- name: hide
-- A temporary table comes before every other of its name.
CREATE TEMPORARY TABLE ai_events (experiment_id uuid, user_id text, created_at timestamptz, name text, value numeric)
ON COMMIT DROP
