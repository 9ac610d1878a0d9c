-- name: flagged_experiments
-- Every experiment that a flag of ours serves: its split, its newest list of buckets, its newest promotion.
SELECT e.id, e.name, coalesce(e.is_active, false) AS is_active, e.traffic_target AS target,
    coalesce(e.start_date::timestamptz, '2000-01-01') AS started_at,
    promotion.state AS promotion_state, coalesce(kept.generation, 0) AS generation,
    coalesce(kept.buckets, '[]'::jsonb) AS buckets, coalesce(of_experiment.variants, '[]'::jsonb) AS variants
FROM ab_experiments AS e
LEFT JOIN LATERAL (
    SELECT p.state FROM experiment_promotions AS p
    WHERE p.experiment_id = e.id AND p.state IN ('ramping', 'promoted', 'rolled_back')
    ORDER BY p.promoted_at DESC, p.id LIMIT 1
) AS promotion ON true
LEFT JOIN LATERAL (
    SELECT a.generation, a.buckets FROM traffic_allocations AS a
    WHERE a.experiment_id = e.id ORDER BY a.generation DESC LIMIT 1
) AS kept ON true
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
        'id', v.id::text, 'name', v.name, 'is_control', v.is_control, 'share', v.traffic_percentage::text
    ) ORDER BY v.id) AS variants
    FROM ab_variants AS v WHERE v.experiment_id = e.id
) AS of_experiment ON true
WHERE e.traffic_target ->> 'kind' IN ('ofrep', 'flagd')
ORDER BY e.id

-- name: versions
-- A sum over which version of which row is there, of each table that flagged_experiments reads: a row that is written,
-- by whomever, changes it. A fiftieth of the time of reading ten thousand flags, without a trigger that slows writers.
SELECT
    (SELECT sum(hashtidextended(ctid, xmin::text::bigint)) FROM ab_experiments) AS experiments,
    (SELECT sum(hashtidextended(ctid, xmin::text::bigint)) FROM ab_variants) AS variants,
    (SELECT sum(hashtidextended(ctid, xmin::text::bigint)) FROM traffic_allocations) AS allocations,
    (SELECT sum(hashtidextended(ctid, xmin::text::bigint)) FROM experiment_promotions) AS promotions
