-- name: rollups
-- Stored rollups of phases, from their start.
SELECT {columns} FROM hourly_variant_rollups AS rollup
JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
WHERE rollup.hour < {end} AND {overlaps} AND {wanted}

-- name: mark_hours
-- Mark the hours of a window as rolled up, with the requests that the new rows add up to.
INSERT INTO rollup_hours (hour, requests)
SELECT hour, coalesce(sum(requests), 0)
FROM generate_series(%s::timestamptz, %s::timestamptz - interval '1 hour', '1 hour') AS hour
LEFT JOIN incoming USING (hour)
GROUP BY hour
ON CONFLICT (hour) DO UPDATE SET rolled_up_at = now(), requests = excluded.requests
