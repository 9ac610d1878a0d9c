-- name: decisions_of_label
-- The decisions of one label, with what each comes to.
SELECT experiment_id, hour, as_of, is_eligible, is_promotable, candidate_variant_id, {outcome} AS outcome
FROM eligibility_decisions AS decided
WHERE label = {label} AND hour >= coalesce(%(start)s::timestamptz, '-infinity')
    AND hour < coalesce(%(end)s::timestamptz, 'infinity')
    AND (%(ids)s::uuid[] IS NULL OR experiment_id = ANY(%(ids)s))

-- name: diff
-- What changes from one label to another, a row for each experiment: hours that both decided are compared, when each
-- was first eligible and promotable, and whether the other label would have promoted what was promoted.
WITH a AS ({decisions_a}),
b AS ({decisions_b}),
joined AS MATERIALIZED (
    SELECT experiment_id, hour, coalesce(a.as_of, b.as_of) AS as_of, a.outcome AS outcome_a, b.outcome AS outcome_b,
        a.is_eligible AS eligible_a, b.is_eligible AS eligible_b, a.is_promotable AS promotable_a,
        b.is_promotable AS promotable_b, b.candidate_variant_id AS candidate_b,
        a.hour IS NOT NULL AND b.hour IS NOT NULL AS is_both
    FROM a FULL JOIN b USING (experiment_id, hour)
), summed AS (
    SELECT experiment_id, count(*) FILTER (WHERE is_both) AS hours,
        count(*) FILTER (WHERE outcome_b IS NULL) AS only_a, count(*) FILTER (WHERE outcome_a IS NULL) AS only_b,
        count(*) FILTER (WHERE outcome_a <> outcome_b) AS differing,
        min(hour) FILTER (WHERE outcome_a <> outcome_b) AS first_hour,
        max(hour) FILTER (WHERE outcome_a <> outcome_b) AS last_hour,
        min(as_of) FILTER (WHERE is_both AND eligible_a) AS eligible_a,
        min(as_of) FILTER (WHERE is_both AND eligible_b) AS eligible_b,
        min(as_of) FILTER (WHERE is_both AND promotable_a) AS promotable_a,
        min(as_of) FILTER (WHERE is_both AND promotable_b) AS promotable_b
    FROM joined GROUP BY 1
), ways AS (
    SELECT experiment_id, jsonb_object_agg(way, hours ORDER BY hours DESC) AS changes
    FROM (SELECT experiment_id, outcome_a || ' -> ' || outcome_b AS way, count(*) AS hours
        FROM joined WHERE outcome_a <> outcome_b GROUP BY 1, 2) AS counted
    GROUP BY 1
), promotions AS (
    SELECT DISTINCT ON (promotion.experiment_id) promotion.experiment_id,
        promotion.evaluated_as_of AS promoted_at, promotion.promoted_variant_name AS promoted,
        joined.candidate_b = promotion.promoted_variant_id
            AND CASE promotion.promotion_type WHEN 'auto' THEN promotable_b ELSE eligible_b END AS holds
    FROM experiment_promotions AS promotion JOIN joined
        ON joined.experiment_id = promotion.experiment_id AND joined.as_of = promotion.evaluated_as_of
    WHERE promotion.state <> 'shadow' AND joined.is_both
    ORDER BY promotion.experiment_id, promotion.promoted_at
)
SELECT summed.*, experiment.name, coalesce(ways.changes, '{{}}') AS changes,
    promotions.promoted_at, promotions.promoted, coalesce(promotions.holds, false) AS holds
FROM summed JOIN ab_experiments AS experiment ON experiment.id = summed.experiment_id
LEFT JOIN ways USING (experiment_id) LEFT JOIN promotions USING (experiment_id)
ORDER BY summed.differing DESC, experiment.name
