-- name: moved_counts
-- How many more or fewer requests of known arms each hour has than before.
SELECT hour, (coalesce(now_counted.requests, 0) - coalesce(before.requests, 0))::bigint AS requests
FROM (SELECT hour, sum(requests) AS requests FROM fresh WHERE phase_id IS NOT NULL GROUP BY hour)
    AS now_counted FULL JOIN counted_before AS before USING (hour)
WHERE coalesce(now_counted.requests, 0) <> coalesce(before.requests, 0)

-- name: phases_without_users
-- The phases whose users were summed up before what they did was kept on our side, and their hours.
SELECT min(known.first), max(known.last) + interval '1 hour', array_agg(phase.id::text)
FROM ab_experiment_phases AS phase
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
CROSS JOIN LATERAL (SELECT min(hour) AS first, max(hour) AS last
    FROM hourly_variant_rollups AS rollup
    WHERE rollup.experiment_id = phase.experiment_id AND rollup.phase_id = phase.id
        AND rollup.user_requests > 0) AS known
WHERE experiment.rollup_source = 'requests' AND known.first IS NOT NULL
    AND phase.started_at < {} AND coalesce(phase.ended_at, 'infinity') > {}
    AND NOT EXISTS (SELECT 1 FROM user_totals AS total WHERE total.phase_id = phase.id)
