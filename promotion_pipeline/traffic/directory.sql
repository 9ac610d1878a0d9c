-- name: clock
-- The database's time, and since when requests are kept.
SELECT now() AS now, (SELECT max(before) FROM dropped_requests) AS dropped_before

-- name: named_experiments
-- The experiments of these names or ids with their variants.
SELECT e.id::text AS id, e.name, v.id::text AS variant_id, v.name AS variant_name
FROM ab_experiments AS e LEFT JOIN ab_variants AS v ON v.experiment_id = e.id
WHERE e.name = ANY(%(names)s) OR e.id::text = ANY(%(ids)s)
