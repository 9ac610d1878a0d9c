-- name: find_moved_hours
-- Hours and phases whose requests are not those of the stored rollups.
CREATE TEMPORARY TABLE moved_hours ON COMMIT DROP AS
SELECT DISTINCT hour, phase_id FROM (
    (SELECT {compared} FROM fresh WHERE phase_id IS NOT NULL EXCEPT {stored})
    UNION ALL ({stored} EXCEPT SELECT {compared} FROM fresh)) AS different

-- name: remove_vanished
-- Rollups whose requests are gone, or now belong to another phase.
DELETE FROM hourly_variant_rollups AS stored
WHERE {} AND NOT EXISTS (
    SELECT 1 FROM fresh
    WHERE (fresh.hour, fresh.phase_id, fresh.variant_id)
        = (stored.hour, stored.phase_id, stored.variant_id))

-- name: write_changed
-- The sums that are new or differ.
INSERT INTO hourly_variant_rollups AS stored ({columns})
SELECT {columns} FROM fresh WHERE phase_id IS NOT NULL
ON CONFLICT (hour, phase_id, variant_id) DO UPDATE SET {assignments}
WHERE ({stored}) IS DISTINCT FROM ({excluded}) OR {moved}

-- name: mark_hours
-- Mark the hours of a window as rolled up, with the requests that they have now.
WITH counted AS (
    SELECT hour, coalesce(sum(requests), 0)::bigint AS requests,
        coalesce(sum(requests) FILTER (WHERE phase_id IS NULL), 0)::bigint AS unassigned,
        count(phase_id) AS rows
    FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour') AS hour
    LEFT JOIN fresh USING (hour)
    GROUP BY hour
), marked AS (
    INSERT INTO rollup_hours (hour, requests, unassigned_requests)
    SELECT hour, requests, unassigned FROM counted
    ON CONFLICT (hour) DO UPDATE SET rolled_up_at = now(), requests = excluded.requests,
        unassigned_requests = excluded.unassigned_requests
)
SELECT sum(rows)::bigint, sum(requests)::bigint, sum(unassigned)::bigint FROM counted

-- name: counts
-- What the sums of some experiments add up to.
SELECT count(phase_id), coalesce(sum(requests), 0)::bigint,
    coalesce(sum(requests) FILTER (WHERE phase_id IS NULL), 0)::bigint
FROM fresh

-- name: restate
-- Correct how many requests of hours belong nowhere, after some experiments' rollups were made again.
-- A request that an experiment has now was counted among those that belong nowhere if it was there when the hour was
-- read; if it came later, the hour has one request more.
UPDATE rollup_hours AS marked
SET requests = marked.requests + moved.arrived,
    unassigned_requests = marked.unassigned_requests - (moved.assigned - moved.arrived)
FROM (
    SELECT rolled.hour, delta.assigned, CASE WHEN delta.assigned > 0
        THEN least(greatest(delta.counted - rolled.requests, 0), delta.assigned)
        ELSE greatest(least(delta.counted - rolled.requests, 0), delta.assigned) END AS arrived
    FROM ({}) AS delta JOIN rollup_hours AS rolled ON rolled.hour = delta.hour
) AS moved
WHERE marked.hour = moved.hour

-- name: note_counts
-- What the rollups of some experiments add up to before they are written.
CREATE TEMPORARY TABLE counted_before ON COMMIT DROP AS
SELECT stored.hour, sum(stored.requests)::bigint AS requests
FROM hourly_variant_rollups AS stored WHERE {} GROUP BY stored.hour

-- name: counts_in_table
-- For `restate`: the hours of `ai_requests` whose requests moved, and all their requests.
SELECT delta.hour, delta.assigned, source.requests AS counted
FROM (
    SELECT hour, (coalesce(now_counted.requests, 0) - coalesce(counted_before.requests, 0))::bigint
        AS assigned
    FROM (SELECT hour, sum(requests) AS requests FROM fresh WHERE phase_id IS NOT NULL GROUP BY hour)
        AS now_counted FULL JOIN counted_before USING (hour)
) AS delta
CROSS JOIN LATERAL (SELECT count(*) AS requests FROM promotion_pipeline_requests
    WHERE created_at >= delta.hour AND created_at < delta.hour + interval '1 hour') AS source
WHERE delta.assigned <> 0
