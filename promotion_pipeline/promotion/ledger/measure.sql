-- name: due
-- Promotions whose outcome is not final, and that were not looked at for so long.
SELECT p.id, r.as_of FROM experiment_promotions AS p LEFT JOIN realised_lift AS r ON r.promotion_id = p.id
WHERE p.state <> 'shadow' AND (r.promotion_id IS NULL OR (r.state = 'measuring' AND r.as_of <= %(looked_before)s))
ORDER BY p.promoted_at, p.id
-- name: phases
-- The phases that a promotion opened, and that in which it was decided; in order of time.
SELECT p.id AS promotion_id, phase.id::text AS phase_id, phase.started_at, phase.ended_at, phase.traffic,
    phase.id = p.phase_id AS is_decided,
    (SELECT min(d.verified_at) FROM traffic_deliveries AS d
        WHERE d.promotion_id = p.id AND d.created_at >= phase.started_at - interval '1 minute'
            AND d.created_at <= phase.started_at + interval '1 minute') AS served_at
FROM experiment_promotions AS p JOIN ab_experiment_phases AS phase ON phase.experiment_id = p.experiment_id
WHERE p.id = ANY(%(ids)s) AND (phase.id = p.phase_id
    OR (NOT phase.is_running AND phase.started_at >= p.promoted_at::timestamptz
        AND phase.started_at < coalesce(p.rollback_at::timestamptz, 'infinity')))
ORDER BY p.id, phase.started_at
-- name: logged
-- Experiments of these whose sums come from the log; those of the others are imported.
SELECT id FROM ab_experiments WHERE id = ANY(%(ids)s) AND rollup_source = 'requests'
-- name: present
-- Variants of these that exist.
SELECT id FROM ab_variants WHERE id = ANY(%(ids)s)
-- name: keep
-- Write what was found; what is final stays.
INSERT INTO realised_lift (promotion_id, experiment_id, state, reason, source, as_of, since, until, lift, lift_lower,
    lift_upper, standard_error, control_requests, winner_requests, analysis_unit)
VALUES (%(promotion_id)s, %(experiment_id)s, %(state)s, %(reason)s, %(source)s, %(as_of)s, %(since)s, %(until)s,
    %(lift)s, %(lift_lower)s, %(lift_upper)s, %(standard_error)s, %(control_requests)s, %(winner_requests)s,
    %(analysis_unit)s)
ON CONFLICT (promotion_id) DO UPDATE SET state = excluded.state, reason = excluded.reason, source = excluded.source,
    as_of = excluded.as_of, since = excluded.since, until = excluded.until, lift = excluded.lift,
    lift_lower = excluded.lift_lower, lift_upper = excluded.lift_upper, standard_error = excluded.standard_error,
    control_requests = excluded.control_requests, winner_requests = excluded.winner_requests,
    analysis_unit = excluded.analysis_unit, measured_at = clock_timestamp()
WHERE realised_lift.state = 'measuring'
