-- name: names_of_other_logs
-- Experiments of these names whose rollups are made of requests.
SELECT experiment.name FROM ab_experiments AS experiment
WHERE experiment.name IN (SELECT experiment FROM incoming) AND experiment.rollup_source = 'requests'
    AND (%s OR EXISTS (SELECT 1 FROM promotion_pipeline_requests WHERE experiment_id = experiment.id)
        OR EXISTS (SELECT 1 FROM hourly_variant_rollups WHERE experiment_id = experiment.id))
ORDER BY 1

-- name: names_with_several_phases
-- Experiments of these names that have changed their split.
SELECT experiment.name FROM ab_experiments AS experiment
JOIN ab_experiment_phases AS phase ON phase.experiment_id = experiment.id
WHERE experiment.name IN (SELECT experiment FROM incoming)
GROUP BY experiment.name HAVING count(*) > 1 ORDER BY 1

-- name: write_experiments
-- Experiments that are not known yet; the start of those that are moves as far back as the rows go.
INSERT INTO ab_experiments AS known (name, start_date, rollup_source)
SELECT experiment, coalesce(%(start)s::timestamptz, min(hour)), 'imported' FROM incoming GROUP BY experiment
ON CONFLICT (name) DO UPDATE SET rollup_source = 'imported', start_date = CASE
    WHEN %(anew)s THEN excluded.start_date
    WHEN (SELECT count(*) FROM ab_experiment_phases WHERE experiment_id = known.id) > 1 THEN known.start_date
    ELSE least(known.start_date, excluded.start_date) END

-- name: write_variants
-- Variants that are not known yet; those of a new experiment share the traffic.
WITH named AS (
    SELECT experiment, variant, bool_or(is_control) AS is_control, {share} AS declared
    FROM incoming GROUP BY experiment, variant
), ranked AS (
    SELECT *, count(*) OVER (PARTITION BY experiment) AS variants,
        row_number() OVER (PARTITION BY experiment ORDER BY is_control DESC, variant) AS rank
    FROM named
)
INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
SELECT known.id, variant, is_control, CASE
    WHEN EXISTS (SELECT 1 FROM ab_variants WHERE experiment_id = known.id) THEN 0
    WHEN declared IS NOT NULL THEN declared::numeric
    WHEN rank = 1 THEN 100 - (variants - 1) * trunc(100.0 / variants, digits)
    ELSE trunc(100.0 / variants, digits) END
FROM ranked JOIN ab_experiments AS known ON known.name = ranked.experiment
CROSS JOIN (
    SELECT CASE WHEN atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
        THEN 0 ELSE 2 END
    FROM pg_attribute WHERE attrelid = 'ab_variants'::regclass AND attname = 'traffic_percentage'
) AS counted(digits)
WHERE NOT EXISTS (SELECT 1 FROM ab_variants AS there
    WHERE there.experiment_id = known.id AND there.name = ranked.variant)

-- name: write_rollups
-- Each row as the rollup of the phase that its hour begins in.
INSERT INTO hourly_variant_rollups
    (hour, experiment_id, phase_id, variant_id, newest_request_at, {values})
SELECT incoming.hour, experiment.id, phase.id, variant.id,
    incoming.hour + interval '1 hour' - interval '1 microsecond', {given}
FROM incoming
JOIN ab_experiments AS experiment ON experiment.name = incoming.experiment
JOIN ab_variants AS variant ON variant.experiment_id = experiment.id AND variant.name = incoming.variant
JOIN ab_experiment_phases AS phase ON phase.experiment_id = experiment.id
    AND date_trunc('hour', phase.started_at, 'UTC') <= incoming.hour
    AND NOT EXISTS (
        SELECT 1 FROM ab_experiment_phases AS earlier
        WHERE earlier.experiment_id = experiment.id AND earlier.started_at < phase.started_at
            AND coalesce(earlier.ended_at, 'infinity') > incoming.hour)
    AND coalesce(phase.ended_at, 'infinity') > incoming.hour
ON CONFLICT (hour, phase_id, variant_id)
    DO UPDATE SET newest_request_at = excluded.newest_request_at, {assignments}
