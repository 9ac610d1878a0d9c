-- name: refresh
-- Totals at a midnight of the phases that run, from their newest total before it and the hours since.
WITH wanted AS MATERIALIZED (
    SELECT phase.id, phase.experiment_id, phase.started_at,
        (SELECT max(total.before) FROM phase_totals AS total WHERE total.phase_id = phase.id
            AND total.before < {midnight}) AS known
    FROM ab_experiment_phases AS phase
    WHERE phase.is_running AND phase.started_at < {midnight} AND coalesce(phase.ended_at, 'infinity') > {midnight}
        AND NOT EXISTS (SELECT 1 FROM phase_totals AS total
            WHERE total.phase_id = phase.id AND total.before = {midnight})
), rows AS (
    SELECT total.phase_id, total.variant_id, total.experiment_id, total.before - interval '1 hour' AS hour,
        total.first_requests, total.first_request_hour, total.has_fallen, {of_total}, total.newest_request_at
    FROM wanted JOIN phase_totals AS total ON total.phase_id = wanted.id AND total.before = wanted.known
    UNION ALL
    SELECT rollup.phase_id, rollup.variant_id, rollup.experiment_id, rollup.hour,
        CASE WHEN rollup.hour + interval '1 hour' <= wanted.started_at + {first_traffic}
            THEN rollup.requests ELSE 0 END,
        CASE WHEN rollup.requests > 0 THEN rollup.hour END,
        rollup.requests < 0 OR rollup.conversions < 0 OR coalesce(rollup.errors, 0) < 0,
        {of_rollup}, rollup.newest_request_at
    FROM wanted JOIN hourly_variant_rollups AS rollup
        ON rollup.experiment_id = wanted.experiment_id AND rollup.phase_id = wanted.id
        AND rollup.hour < {midnight} AND rollup.hour >= coalesce(wanted.known, {first_hour})
)
INSERT INTO phase_totals (phase_id, variant_id, experiment_id, before, first_requests, first_request_hour,
    has_fallen, {names}, newest_request_at)
SELECT phase_id, variant_id, experiment_id, {midnight}, sum(first_requests)::bigint, min(first_request_hour),
    bool_or(has_fallen), {sums}, max(newest_request_at)
FROM rows GROUP BY phase_id, variant_id, experiment_id
ON CONFLICT (phase_id, before, variant_id) DO NOTHING

-- name: rows_since_totals
-- The rollups of phases, with those before each phase's newest total in a few rows.
WITH wanted AS MATERIALIZED (
    SELECT phase.id, {first_hour} AS first_hour,
        (SELECT max(total.before) FROM phase_totals AS total
            WHERE total.phase_id = phase.id AND total.before <= {settled}) AS known
    FROM ab_experiment_phases AS phase WHERE {phases}
)
SELECT {shown} FROM hourly_variant_rollups AS rollup JOIN wanted ON wanted.id = rollup.phase_id
WHERE rollup.hour < {end} AND rollup.hour >= (SELECT min(coalesce(known, first_hour)) FROM wanted)
    AND rollup.hour >= coalesce(wanted.known, '-infinity')
UNION ALL {totals}

-- name: rows_of_total
-- Rows of rollups made of totals.
SELECT {shown} FROM (
    SELECT {hour} AS hour, {keys}, {named}, total.newest_request_at
    FROM wanted JOIN phase_totals AS total ON total.phase_id = wanted.id AND total.before = wanted.known
    WHERE {condition}
) AS rollup
