-- name: sums
-- The sums of metrics of phases, from their start; and a row for every metric that nothing matched before the end.
-- As doubles of exact sums, always hour by hour: whoever adds them up adds the same numbers in the same order.
SELECT rollup.hour, rollup.experiment_id::text, rollup.phase_id::text, rollup.variant_id::text, rollup.metric,
    {sums}, 0::bigint AS unmatched
FROM ({rollups}) AS rollup
JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
WHERE rollup.hour < {end} AND {overlaps} AND {wanted}
UNION ALL
SELECT date_bin('1 hour', phase.started_at, '2000-01-01 00:00:00+00'), phase.experiment_id::text, phase.id::text,
    variant.key, metric.name, {nothing}, 1::bigint
FROM ab_experiment_phases AS phase
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id AND experiment.rollup_source = 'requests'
CROSS JOIN LATERAL (SELECT substr(key, 8) AS name FROM jsonb_object_keys(phase.fixed) AS key
    WHERE key LIKE 'metric:%') AS metric
CROSS JOIN LATERAL jsonb_object_keys(phase.traffic) AS variant (key)
WHERE phase.fixed <> '{{}}' AND {overlaps} AND {wanted}
    AND NOT EXISTS (SELECT 1 FROM ({rollups}) AS rollup
        WHERE (rollup.phase_id, rollup.metric) = (phase.id, metric.name) AND rollup.samples <> 0
            AND rollup.hour < {end})
ORDER BY 3, 1, 4, 5

-- name: has_metrics
-- Whether a phase of the window has metrics.
SELECT EXISTS (SELECT 1 FROM ab_experiment_phases AS phase WHERE phase.fixed <> '{{}}' AND {overlaps} AND {wanted})
    AS found

-- name: stored
-- The sums as they are stored.
SELECT * FROM hourly_metric_rollups

-- name: with_difference
-- The sums as they would be if what is known now were in them.
SELECT hour, experiment_id, phase_id, variant_id, metric, {sums}
FROM (SELECT {columns} FROM hourly_metric_rollups UNION ALL SELECT {columns} FROM metric_difference) AS parts
GROUP BY hour, experiment_id, phase_id, variant_id, metric
