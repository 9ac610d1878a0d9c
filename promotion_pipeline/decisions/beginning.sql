-- name: first_hour
-- The hour in which the first experiment began, or of which the first sums are; not before {earliest}, not after now.
-- A date before {earliest} is no start that anybody meant: such an experiment begins with its first sums.
SELECT date_trunc('hour', greatest(least(first.hour, clock_timestamp()), {earliest}), 'UTC') AS hour
FROM (
    SELECT least(
        (SELECT min(start_date::timestamptz) FROM ab_experiments WHERE start_date::timestamptz >= {earliest}),
        (SELECT min(hour) FROM hourly_variant_rollups)
    ) AS hour
) AS first
WHERE first.hour IS NOT NULL

-- name: window_size
-- How many decisions a window is, and how many rows they make: a variant's metrics, a treatment's test, the decision.
SELECT count(*) AS experiments, coalesce(sum(running.hours), 0)::bigint AS decisions,
    coalesce(sum(running.hours * 2 * running.variants), 0)::bigint AS rows
FROM (
    SELECT ceil(extract(epoch FROM least(experiment.end_date::timestamptz, {end})
            - greatest(experiment.start_date::timestamptz, {start})) / 3600) AS hours,
        (SELECT count(*) FROM ab_variants AS variant WHERE variant.experiment_id = experiment.id) AS variants
    FROM ab_experiments AS experiment
    WHERE experiment.start_date::timestamptz < {end}
        AND coalesce(experiment.end_date::timestamptz, {end}) > {start} AND {wanted}
) AS running
