-- name: find_lost_hours
-- Hours of experiments of which the log has fewer requests than were counted, and cannot be right.
CREATE TEMPORARY TABLE lost_hours ON COMMIT DROP AS
WITH counted AS (
    SELECT stored.experiment_id, stored.hour, sum(stored.requests)::bigint AS requests
    FROM hourly_variant_rollups AS stored
    WHERE {mine} AND EXISTS (SELECT 1 FROM ab_experiment_phases AS phase
        WHERE phase.experiment_id = stored.experiment_id AND phase.is_running
            AND phase.started_at < stored.hour + interval '1 hour'
            AND coalesce(phase.ended_at, 'infinity') > stored.hour)
    GROUP BY 1, 2 HAVING sum(stored.requests) > 0
), left_over AS (
    SELECT experiment_id, hour, sum(requests)::bigint AS requests
    FROM fresh WHERE phase_id IS NOT NULL GROUP BY 1, 2
), files AS (
    SELECT * FROM unnest({names}::text[], {since}::timestamptz[], {until}::timestamptz[])
        AS file (name, since, until)
)
SELECT counted.experiment_id, counted.hour, counted.requests, doubtful.name
FROM counted LEFT JOIN left_over USING (experiment_id, hour)
LEFT JOIN LATERAL (SELECT min(name) AS name FROM files
    WHERE files.since < counted.hour + interval '1 hour' AND files.until > counted.hour) AS doubtful ON true
WHERE left_over.requests IS NULL
    OR (doubtful.name IS NOT NULL AND left_over.requests < counted.requests)

-- name: find_gaps
-- The lost hours in words.
CREATE TEMPORARY TABLE found_gaps ON COMMIT DROP AS
SELECT experiment_id, hour, CASE WHEN name IS NULL THEN 'vanished' ELSE 'unreadable' END AS kind, requests,
    CASE WHEN name IS NULL THEN requests || ' requests that were counted are not in the log any more'
        ELSE name || ' cannot be read' END AS detail
FROM lost_hours

-- name: find_unreadable_hours
-- Hours of running phases that a file which cannot be read may hold.
INSERT INTO found_gaps
SELECT DISTINCT phase.experiment_id, passed.hour, 'unreadable', 0, %(name)s || ' cannot be read'
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', '1 hour')
    AS passed (hour)
JOIN ab_experiment_phases AS phase ON phase.is_running
    AND phase.started_at < passed.hour + interval '1 hour'
    AND coalesce(phase.ended_at, 'infinity') > passed.hour
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
WHERE experiment.rollup_source = 'requests'
    AND (%(ids)s::uuid[] IS NULL OR phase.experiment_id = ANY(%(ids)s::uuid[]))
    AND passed.hour + interval '1 hour' > %(since)s AND passed.hour < %(until)s
    AND NOT EXISTS (SELECT 1 FROM found_gaps AS known
        WHERE (known.experiment_id, known.hour) = (phase.experiment_id, passed.hour))
    AND (NOT EXISTS (SELECT 1 FROM rollup_hours WHERE rollup_hours.hour = passed.hour)
        OR EXISTS (SELECT 1 FROM log_gaps AS before WHERE before.kind = 'unreadable'
            AND (before.experiment_id, before.hour) = (phase.experiment_id, passed.hour)))

-- name: forget_closed_gaps
-- Forget the gaps of a window that are none any more.
DELETE FROM log_gaps AS gap
WHERE gap.hour >= %(start)s AND gap.hour < %(end)s
    AND (%(ids)s::uuid[] IS NULL OR gap.experiment_id = ANY(%(ids)s::uuid[]))
    AND NOT EXISTS (SELECT 1 FROM found_gaps AS found
        WHERE (found.experiment_id, found.hour) = (gap.experiment_id, gap.hour))

-- name: note_gaps
-- Note the gaps that were found; what was known before keeps its time.
INSERT INTO log_gaps (experiment_id, hour, kind, requests, detail)
SELECT experiment_id, hour, kind, requests, detail FROM found_gaps
ON CONFLICT (experiment_id, hour) DO UPDATE
    SET kind = excluded.kind, requests = excluded.requests, detail = excluded.detail

-- name: gaps_of_running_phases
-- The gaps in the phases that run, one a experiment and kind.
SELECT gap.experiment_id, experiment.name, gap.kind, min(gap.hour), max(gap.hour), count(*),
    sum(gap.requests)::bigint, min(gap.detail)
FROM log_gaps AS gap
JOIN ab_experiments AS experiment ON experiment.id = gap.experiment_id
JOIN ab_experiment_phases AS phase ON phase.experiment_id = gap.experiment_id
    AND phase.ended_at IS NULL AND phase.is_running AND phase.started_at < gap.hour + interval '1 hour'
WHERE %(ids)s::uuid[] IS NULL OR gap.experiment_id = ANY(%(ids)s)
GROUP BY 1, 2, 3 ORDER BY 2, 3
