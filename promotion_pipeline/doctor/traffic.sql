-- name: shared_places
-- Two experiments that hold the same place, as `ab_one_experiment_a_flag` refuses from now on.
SELECT one.name::text AS first, other.name::text AS second
FROM ab_experiments AS one JOIN ab_experiments AS other ON one.name < other.name
    AND traffic_place(one.traffic_target) = traffic_place(other.traffic_target)
    AND (one.traffic_target ->> 'strategy_id' IS NULL OR other.traffic_target ->> 'strategy_id' IS NULL
        OR one.traffic_target ->> 'strategy_id' = other.traffic_target ->> 'strategy_id')
WHERE (one.is_active OR EXISTS (SELECT 1 FROM experiment_promotions AS p
        WHERE p.experiment_id = one.id AND p.state IN ('ramping', 'promoted')))
    AND (other.is_active OR EXISTS (SELECT 1 FROM experiment_promotions AS p
        WHERE p.experiment_id = other.id AND p.state IN ('ramping', 'promoted')))
ORDER BY 1, 2 LIMIT 1
