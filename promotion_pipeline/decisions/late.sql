-- name: outcome
-- What a decision comes to: `promotable`, `eligible` or the verdict, with the candidate of an eligible one.
CASE WHEN {decided}.is_eligible
    THEN CASE WHEN {decided}.is_promotable THEN 'promotable' ELSE 'eligible' END || ': ' || {decided}.candidate_variant_name
    ELSE {decided}.verdict END

-- name: new_flips
-- Note the decisions of record that late rows would change, and give those that were not noted before.
-- Only decisions by the same thresholds are compared. Hours that were decided before their environment was kept may be
-- judged on another one now, and that is no late row.
WITH flips AS (
    SELECT record.experiment_id, record.hour, {outcome_of_record} AS recorded,
        {outcome_of_latest} AS outcome, latest.is_eligible, latest.candidate_variant_id
    FROM eligibility_decisions AS record
    JOIN eligibility_decisions AS latest ON latest.experiment_id = record.experiment_id
        AND latest.hour = record.hour AND latest.label = 'latest'
    WHERE record.label = 'record' AND record.hour >= %(start)s AND record.hour < %(end)s
        AND (%(ids)s::uuid[] IS NULL OR record.experiment_id = ANY(%(ids)s))
        AND {outcome_of_record} IS DISTINCT FROM {outcome_of_latest}
        AND {same_thresholds}
), noted AS (
    INSERT INTO late_verdicts (experiment_id, hour, recorded, outcome, promotion_id)
    SELECT flips.experiment_id, flips.hour, flips.recorded, flips.outcome, promotion.id
    FROM flips LEFT JOIN experiment_promotions AS promotion ON promotion.experiment_id = flips.experiment_id
        AND promotion.evaluated_as_of = flips.hour + interval '1 hour' AND promotion.state <> 'shadow'
    ORDER BY flips.experiment_id, flips.hour
    ON CONFLICT DO NOTHING
    RETURNING experiment_id, hour, promotion_id
)
SELECT experiment.id AS experiment_id, experiment.name, flips.hour, flips.recorded, flips.outcome,
    noted.promotion_id, promotion.promoted_variant_name AS winner,
    promotion.state IN ('ramping', 'promoted') AS is_live,
    flips.is_eligible AND flips.candidate_variant_id = promotion.promoted_variant_id AS is_still_eligible
FROM noted JOIN flips USING (experiment_id, hour)
JOIN ab_experiments AS experiment ON experiment.id = noted.experiment_id
LEFT JOIN experiment_promotions AS promotion ON promotion.id = noted.promotion_id
ORDER BY experiment.name, flips.hour
