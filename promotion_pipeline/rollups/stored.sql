-- name: rollups
-- Stored rollups of phases, from their start.
SELECT {columns} FROM hourly_variant_rollups AS rollup
JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
WHERE rollup.hour < {end} AND {overlaps} AND {wanted}
