-- name: first_hour
-- The first hour of the wanted phases whose requests were not dropped.
SELECT {first} AS hour FROM ab_experiment_phases AS phase
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
WHERE experiment.rollup_source = 'requests' AND {overlaps} AND {wanted}

-- name: stored_sums
-- The stored rollups of the wanted phases, as far as they are known to be whole.
SELECT {columns} FROM hourly_variant_rollups AS rollup
JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
JOIN ab_experiments AS experiment ON experiment.id = rollup.experiment_id
LEFT JOIN phase_rollups AS known ON known.phase_id = rollup.phase_id
WHERE rollup.hour < {as_of} AND {overlaps} AND {wanted}
    AND ({is_covered} OR experiment.rollup_source = 'imported')

-- name: fresh_sums
-- The sums of requests that are in no rollup.
SELECT {columns} FROM ({aggregation} OFFSET 0) AS rollup
JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
WHERE {overlaps}

-- name: fresh_moments
-- What those requests add to the user-level moments, of later hours too: rows that only have these sums.
(WITH unseen AS MATERIALIZED ({unseen})
SELECT moments.hour, phase.experiment_id::text, moments.phase_id::text, moments.variant_id::text,
    {counts}, {moments}, NULL::timestamptz AS newest_request_at
FROM ({difference}) AS moments
JOIN ab_experiment_phases AS phase ON phase.id = moments.phase_id
WHERE moments.hour < {as_of} AND {overlaps})
