-- name: phases_with_metrics
-- Every phase that has metrics, or had.
SELECT phase.id::text, phase.experiment_id::text, experiment.name::text, phase.started_at::text,
    phase.ended_at::text, phase.fixed
FROM ab_experiment_phases AS phase JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
WHERE phase.fixed <> '{{}}' AND experiment.rollup_source = 'requests' AND {wanted}
ORDER BY phase.id
