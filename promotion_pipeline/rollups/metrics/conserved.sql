-- name: hours_to_compare
-- The hours of phases with metrics that were rolled up, and whose requests are still there.
CREATE TEMPORARY TABLE metric_hours ON COMMIT DROP AS
SELECT DISTINCT rolled.hour, metric.phase_id FROM rollup_hours AS rolled
JOIN metric_list AS metric ON metric.started_at < rolled.hour + interval '1 hour' AND metric.ended_at > rolled.hour
    AND NOT metric.is_new
WHERE rolled.hour >= %(start)s AND rolled.hour < %(end)s
    AND rolled.hour >= coalesce((SELECT before FROM dropped_requests), '-infinity')

-- name: make_source
-- What counts for each metric in each hour, by the rows that are there.
CREATE TEMPORARY TABLE metric_source (phase_id uuid, metric text, hour timestamptz, samples bigint, value numeric,
    size numeric) ON COMMIT DROP

-- name: source_of_column
-- The requests that have a number in the column; of metrics of users those whose user is known.
INSERT INTO metric_source
SELECT found.phase_id, metric.metric, found.hour,
    sum(CASE WHEN metric.kind IN ('user_proportion', 'user_count') THEN found.{positive} ELSE found.{number} END),
    sum(found.{total}::numeric), sum(abs(found.{total}::numeric))
FROM metric_read AS found JOIN metric_list AS metric ON metric.phase_id = found.phase_id AND metric.slot = {slot}
WHERE NOT metric.is_new AND (found.kept_id IS NOT NULL OR metric.kind = 'request_mean')
GROUP BY found.phase_id, metric.metric, found.hour

-- name: source_of_events
-- The events of users who had been served by then.
INSERT INTO metric_source
SELECT compared.phase_id, metric.metric, compared.hour, count(*), coalesce(sum({amount}), 0),
    coalesce(sum(abs({amount})), 0)
FROM metric_hours AS compared
JOIN metric_list AS metric ON metric.phase_id = compared.phase_id AND metric.event IS NOT NULL AND NOT metric.is_new
JOIN ai_events AS event ON event.experiment_id = metric.experiment_id AND event.name = metric.event
    AND event.created_at >= compared.hour AND event.created_at < compared.hour + interval '1 hour'
    AND event.created_at < metric.ended_at
JOIN metric_users AS known ON known.phase_id = compared.phase_id AND known.user_id = kept_user_id(event.user_id)
    AND known.exposed_at <= event.created_at
WHERE user_ids_can_be_kept()
GROUP BY compared.phase_id, metric.metric, compared.hour

-- name: unbalanced
-- Where the two differ. Doubles of a log elsewhere add up to within their precision.
SELECT compared.hour, experiment.name::text AS experiment_name, metric.metric,
    coalesce(source.samples, 0) AS source_samples, coalesce(sums.samples, 0)::bigint AS counted_samples,
    coalesce(source.value, 0)::float8 AS source_value,
    CASE WHEN adds.up THEN coalesce(sums.value, 0)::float8 END AS counted_value,
    EXISTS (SELECT 1 FROM metric_event_changes AS changed WHERE changed.experiment_id = metric.experiment_id
        AND changed.name = metric.event AND changed.hour = compared.hour) AS is_late
FROM metric_hours AS compared
JOIN metric_list AS metric ON metric.phase_id = compared.phase_id AND NOT metric.is_new
    AND (metric.slot IS NOT NULL OR metric.event IS NOT NULL)
JOIN ab_experiments AS experiment ON experiment.id = metric.experiment_id
CROSS JOIN LATERAL (SELECT metric.kind = 'request_mean' OR (metric.kind = 'user_mean' AND metric.above_cap IS NULL)
    AS up) AS adds
LEFT JOIN metric_source AS source
    ON (source.phase_id, source.metric, source.hour) = (metric.phase_id, metric.metric, compared.hour)
LEFT JOIN (SELECT phase_id, metric, hour, sum(samples) AS samples, sum(value_sum) AS value
    FROM hourly_metric_rollups JOIN metric_hours USING (hour, phase_id) GROUP BY 1, 2, 3) AS sums
    ON (sums.phase_id, sums.metric, sums.hour) = (metric.phase_id, metric.metric, compared.hour)
WHERE coalesce(source.samples, 0) <> coalesce(sums.samples, 0)
    OR (adds.up AND abs(coalesce(source.value, 0) - coalesce(sums.value, 0)) > 1e-9 * coalesce(source.size, 0))
ORDER BY 1, 2, 3
