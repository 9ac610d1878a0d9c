-- name: aggregate
-- The sums of requests by hour and arm; an arm that is not known has no phase.
-- Numbers are cast before they are squared: the square of an integer may overflow. OFFSET 0 keeps the planner from
-- casting again wherever the number is used.
WITH {arms}, sums AS (
    SELECT hour, arm, count(*) AS requests,
        count(*) FILTER (WHERE converted) AS conversions,
        count(*) FILTER (WHERE is_error) AS errors,
        count(latency) AS latency_samples,
        count(user_id) AS user_requests,
        count(user_id) FILTER (WHERE converted) AS user_conversions,
        coalesce(sum(latency), 0) AS latency_ms_sum,
        coalesce(sum(latency * latency), 0) AS latency_ms_sum_squares,
        coalesce(sum(amount), 0) AS value_sum,
        coalesce(sum(amount * amount), 0) AS value_sum_squares,
        max(created_at) AS newest_request_at,
        count(*) FILTER (WHERE has_latency AND latency IS NULL) AS unusable_latencies,
        count(*) FILTER (WHERE has_value AND amount IS NULL) AS unusable_values
    FROM (
        SELECT {hour} AS hour, arms.arm, request.created_at,
            CASE WHEN {known_user} THEN request.user_id END AS user_id,
            request.converted, request.is_error,
            {latency} AS latency, {amount} AS amount,
            request.latency_ms IS NOT NULL AS has_latency, request.value IS NOT NULL AS has_value
        FROM {requests}
        WHERE request.created_at >= {start} AND request.created_at < {end} AND {condition}
        OFFSET 0
    ) AS request
    GROUP BY hour, arm
)
SELECT sums.*, arms.experiment_id, arms.phase_id, arms.variant_id FROM sums LEFT JOIN arms USING (arm)
