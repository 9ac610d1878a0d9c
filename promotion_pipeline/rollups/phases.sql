-- name: phases
-- The phases that a window of the log may hold, a row for each variant.
SELECT experiment.id::text AS experiment_id, experiment.name::text AS experiment_name,
    phase.id::text AS phase_id,
    variant.id::text AS variant_id, variant.name::text AS variant_name, phase.started_at, phase.ended_at
FROM ab_experiments AS experiment
JOIN ab_experiment_phases AS phase ON phase.experiment_id = experiment.id
JOIN ab_variants AS variant ON variant.experiment_id = experiment.id
WHERE experiment.rollup_source = 'requests' AND {overlaps} AND {wanted}
ORDER BY phase.id, variant.id
