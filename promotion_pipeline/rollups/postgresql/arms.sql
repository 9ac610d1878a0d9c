-- name: arms
-- The arms of the phases that have time in a window, each with a small number; and for each variant the starts of its
-- phases in order, so that a request finds its own by a search, however many there were. Phases never overlap.
arms AS MATERIALIZED (
    SELECT row_number() OVER ()::integer AS arm, variant.experiment_id, variant.id AS variant_id,
        phase.id AS phase_id, phase.started_at, coalesce(phase.ended_at, 'infinity') AS ended_at,
        coalesce(known.covered, '{{}}') AS covered
    FROM ab_variants AS variant
    JOIN ab_experiments AS experiment
        ON experiment.id = variant.experiment_id AND experiment.rollup_source = 'requests'
    JOIN ab_experiment_phases AS phase ON phase.experiment_id = variant.experiment_id
    LEFT JOIN phase_rollups AS known ON known.phase_id = phase.id
    WHERE phase.started_at < {end} AND coalesce(phase.ended_at, 'infinity') > {start}
),
arms_by_start AS MATERIALIZED (
    SELECT experiment_id, variant_id, array_agg(started_at ORDER BY started_at, ended_at) AS starts,
        array_agg(arm ORDER BY started_at, ended_at) AS numbers
    FROM arms GROUP BY experiment_id, variant_id
)

-- name: requests_with_arms
-- Each request with the arm that served it. LEFT JOINs: the requests are read by their time, never once for every arm.
promotion_pipeline_requests AS request
LEFT JOIN arms_by_start ON arms_by_start.experiment_id = request.experiment_id
    AND arms_by_start.variant_id = request.variant_id
LEFT JOIN arms ON arms.arm = arms_by_start.numbers[width_bucket(request.created_at, arms_by_start.starts)]
    AND request.created_at < arms.ended_at
