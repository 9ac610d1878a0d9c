-- name: undecided
-- A running phase that has variants and no decision of record about the hour `passed.hour`; part of the statements below.
FROM ab_experiment_phases AS phase
WHERE phase.is_running AND phase.started_at < passed.hour + interval '1 hour'
    AND coalesce(phase.ended_at, 'infinity') >= passed.hour + interval '1 hour'
    AND EXISTS (
        SELECT 1 FROM ab_experiment_history AS known
        WHERE known.experiment_id = phase.experiment_id AND known.variants <> '{}'
            AND known.valid_from < passed.hour + interval '1 hour'
            AND known.valid_until >= passed.hour + interval '1 hour')
    AND NOT EXISTS (
        SELECT 1 FROM eligibility_decisions AS decided
        WHERE decided.hour = passed.hour AND decided.experiment_id = phase.experiment_id
            AND decided.label = %(label)s)

-- name: first_undecided_hour
-- The first hour of a window with a running experiment that is not decided.
SELECT passed.hour FROM generate_series(%(start)s::timestamptz, %(last)s, '1 hour') AS passed(hour)
WHERE EXISTS (SELECT 1 {undecided})
ORDER BY passed.hour LIMIT 1

-- name: undecided_experiments
-- The running experiments that are not decided in one hour.
SELECT experiment.name FROM ab_experiments AS experiment CROSS JOIN (SELECT %(hour)s::timestamptz AS hour) AS passed
WHERE experiment.id IN (SELECT phase.experiment_id {undecided})
ORDER BY experiment.name
