-- Two buttons, half of the visitors each, behind the flag shop-button. It began five days ago, for the visitors of the
-- past days that the example lets in; an experiment of yours begins now.
WITH experiment AS (
    INSERT INTO ab_experiments (name, is_active, start_date, traffic_target)
    VALUES ('shop-button', true, now() - interval '5 days', '{"kind": "ofrep", "flag": "shop-button"}')
    RETURNING id
)
INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
SELECT id, 'blue', true, 50 FROM experiment UNION ALL SELECT id, 'green', false, 50 FROM experiment
