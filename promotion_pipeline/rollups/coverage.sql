-- name: seen_phases
-- The phases that a rollup of a window will know of, with a digest of their split.
SELECT phase.id, phase.started_at::text, phase.ended_at::text, md5(phase.traffic::text), phase.fixed <> '{}'
FROM ab_experiment_phases AS phase JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
WHERE experiment.rollup_source = 'requests' AND phase.started_at < %(end)s
    AND coalesce(phase.ended_at, 'infinity') > %(start)s
    AND (%(ids)s::uuid[] IS NULL OR phase.experiment_id = ANY(%(ids)s::uuid[]))

-- name: cover
-- Note that the requests of these phases in a window are in their rollups now.
INSERT INTO phase_rollups AS known (phase_id, covered)
SELECT phase.id, tstzmultirange(tstzrange(greatest(%(start)s, seen.started_at),
    least(%(end)s, coalesce(seen.ended_at, 'infinity'))))
FROM unnest(%(ids)s::uuid[], %(started)s::text[]::timestamptz[], %(ended)s::text[]::timestamptz[],
    %(traffic)s::text[]) AS seen (id, started_at, ended_at, traffic)
JOIN ab_experiment_phases AS phase ON phase.id = seen.id AND md5(phase.traffic::text) = seen.traffic
ORDER BY phase.id
ON CONFLICT (phase_id) DO UPDATE SET covered = known.covered + excluded.covered
WHERE NOT known.covered @> excluded.covered

-- name: uncovered
-- From when to when each experiment has phases with hours that are in no rollup of theirs.
SELECT uncovered.experiment_id::text AS experiment_id, {first_hour} AS first, {last_hour} AS last
FROM (
    SELECT phase.experiment_id, upper(missing.time) AS until,
        CASE WHEN lower(missing.time) < {oldest}
            THEN {first_request}
            ELSE lower(missing.time) END AS since
    FROM ab_experiment_phases AS phase
    JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
    LEFT JOIN phase_rollups AS known ON known.phase_id = phase.id
    CROSS JOIN LATERAL (SELECT tstzmultirange(tstzrange(
        least(greatest(phase.started_at, (SELECT before FROM dropped_requests)), phase_end.at), phase_end.at))
            - coalesce(known.covered, '{{}}') AS time
        FROM (SELECT least(coalesce(phase.ended_at, 'infinity'), {end}) AS at) AS phase_end) AS missing
    WHERE experiment.rollup_source = 'requests' AND phase.started_at < {end} AND {wanted}
        AND coalesce(usable_start(experiment.start_date) = experiment.start_date, true)
        AND NOT isempty(missing.time)
) AS uncovered
WHERE uncovered.since < uncovered.until
ORDER BY 2, 1
