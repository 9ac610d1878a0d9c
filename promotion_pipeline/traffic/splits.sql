-- name: splits
-- Every experiment's decided split, its newest delivery, and what was read and observed of it last.
SELECT e.id, e.name::text, e.traffic_target, d.state, d.served, d.error, d.attempts, d.created_at, d.verified_at,
    v.split, v.names, s.served AS read_split, s.read_at, s.unread, s.observed, s.observed_unit, s.observed_since,
    s.p_value, s.unobserved, s.differs, extract(epoch FROM clock_timestamp() - s.read_at) AS read_age_seconds,
    coalesce(d.state IN ('pending', 'applied') AND d.created_at < clock_timestamp() - interval '10 minutes', false)
        AS is_late,
    coalesce(e.is_active, false) OR live.id IS NOT NULL AS is_compared
FROM ab_experiments AS e
CROSS JOIN LATERAL (SELECT jsonb_object_agg(name::text, traffic_percentage::numeric ORDER BY name) AS split,
        jsonb_object_agg(id::text, name::text) AS names
    FROM ab_variants WHERE experiment_id = e.id AND traffic_percentage IS NOT NULL) AS v
LEFT JOIN LATERAL (SELECT * FROM traffic_deliveries WHERE experiment_id = e.id
    ORDER BY generation DESC LIMIT 1) AS d ON true
LEFT JOIN LATERAL (SELECT id FROM experiment_promotions WHERE experiment_id = e.id
    AND state IN ('ramping', 'promoted') LIMIT 1) AS live ON true
LEFT JOIN served_traffic AS s ON s.experiment_id = e.id
WHERE v.split IS NOT NULL
    AND (e.is_active OR d.id IS NOT NULL OR live.id IS NOT NULL OR e.id = ANY(%(ids)s::uuid[]))
    AND (%(ids)s::uuid[] IS NULL OR e.id = ANY(%(ids)s::uuid[]))
ORDER BY e.name
