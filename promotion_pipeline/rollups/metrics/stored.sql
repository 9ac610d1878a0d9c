-- name: sums
-- The sums of metrics of phases, from their start; and a row for every metric that nothing matched before the end.
-- As doubles of exact sums, always hour by hour: whoever adds them up adds the same numbers in the same order.
SELECT rollup.hour, rollup.experiment_id::text, rollup.phase_id::text, rollup.variant_id::text, rollup.metric,
    {sums}, 0::bigint AS unmatched, 0::bigint AS unreadable
FROM ({rollups}) AS rollup
JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
WHERE rollup.hour < {end} AND {overlaps} AND {wanted} AND NOT {is_unreadable_sum}
UNION ALL
SELECT date_bin('1 hour', phase.started_at, '2000-01-01 00:00:00+00'), phase.experiment_id::text, phase.id::text,
    variant.key, metric.name, {nothing}, 1::bigint, ({is_unreadable})::integer::bigint
FROM ab_experiment_phases AS phase
JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id AND experiment.rollup_source = 'requests'
CROSS JOIN LATERAL (SELECT substr(key, 8) AS name FROM jsonb_object_keys(phase.fixed) AS key
    WHERE key LIKE 'metric:%') AS metric
CROSS JOIN LATERAL jsonb_object_keys(phase.traffic) AS variant (key)
WHERE phase.fixed <> '{{}}' AND {overlaps} AND {wanted}
    AND ({is_unreadable} OR NOT EXISTS (SELECT 1 FROM ({rollups}) AS rollup
        WHERE (rollup.phase_id, rollup.metric) = (phase.id, metric.name) AND rollup.samples <> 0
            AND rollup.hour < {end}))
ORDER BY 3, 1, 4, 5

-- name: has_metrics
-- Whether a phase of the window has metrics.
SELECT count(*) > 0 AS found, coalesce(bool_or(jsonb_path_exists(phase.fixed, '$.*.event')), false) AS with_events
FROM ab_experiment_phases AS phase WHERE phase.fixed <> '{{}}' AND {overlaps} AND {wanted}

-- name: of_events
-- Whether a metric of a phase is made of events, itself or a part of it.
EXISTS (SELECT 1 FROM jsonb_each(phase.fixed) AS part WHERE part.value ? 'event' AND part.key IN ('metric:' || {metric},
    'metric:' || (phase.fixed -> ('metric:' || {metric}) ->> 'numerator'),
    'metric:' || (phase.fixed -> ('metric:' || {metric}) ->> 'denominator')))

-- name: stored
-- The sums as they are stored.
SELECT * FROM hourly_metric_rollups

-- name: with_difference
-- The sums as they would be if what is known now were in them.
SELECT hour, experiment_id, phase_id, variant_id, metric, {sums}
FROM (SELECT {columns} FROM hourly_metric_rollups UNION ALL SELECT {columns} FROM metric_difference) AS parts
GROUP BY hour, experiment_id, phase_id, variant_id, metric
