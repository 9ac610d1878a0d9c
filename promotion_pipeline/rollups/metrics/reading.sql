-- name: load_in_table
-- What users did, by the phase and variant of their arm.
CREATE TEMPORARY TABLE metric_read_raw ON COMMIT DROP AS
SELECT to_timestamp(found.hour_number * 3600) AS hour, arms.phase_id, arms.variant_id,
    -- Sorted like an index of ours, which could not be used otherwise.
    found.user_id COLLATE "default" AS user_id,
    'epoch'::timestamptz + found.first_micros * interval '1 microsecond' AS first_at{columns}
FROM ({query}) AS found
JOIN (SELECT ordinality - 1 AS arm, given.phase_id, given.variant_id
    FROM unnest({phases}::text[]::uuid[], {variants}::text[]::uuid[]) WITH ORDINALITY
        AS given (phase_id, variant_id)) AS arms USING (arm)
