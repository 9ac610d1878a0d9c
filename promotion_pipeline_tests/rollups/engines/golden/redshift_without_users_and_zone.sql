-- compiled, not run here
WITH arms AS (
    SELECT * FROM (SELECT 0 AS arm, 0 AS phase, 'checkout' AS experiment_key, 'arm 0' AS variant_key, TIMESTAMP '2026-03-08 04:00:00.000000' AS started, TIMESTAMP '2026-03-08 04:21:00.000000' AS ended
        UNION ALL SELECT 1 AS arm, 0 AS phase, 'checkout' AS experiment_key, 'arm 1' AS variant_key, TIMESTAMP '2026-03-08 04:00:00.000000' AS started, TIMESTAMP '2026-03-08 04:21:00.000000' AS ended
        UNION ALL SELECT 2 AS arm, 0 AS phase, 'checkout' AS experiment_key, 'arm 2' AS variant_key, TIMESTAMP '2026-03-08 04:00:00.000000' AS started, TIMESTAMP '2026-03-08 04:21:00.000000' AS ended
        UNION ALL SELECT 3 AS arm, 1 AS phase, 'checkout' AS experiment_key, 'arm 0' AS variant_key, TIMESTAMP '2026-03-08 04:21:00.000000' AS started, TIMESTAMP '2026-03-08 07:00:00.000000' AS ended
        UNION ALL SELECT 4 AS arm, 1 AS phase, 'checkout' AS experiment_key, 'arm 1' AS variant_key, TIMESTAMP '2026-03-08 04:21:00.000000' AS started, TIMESTAMP '2026-03-08 07:00:00.000000' AS ended
        UNION ALL SELECT 5 AS arm, 1 AS phase, 'checkout' AS experiment_key, 'arm 2' AS variant_key, TIMESTAMP '2026-03-08 04:21:00.000000' AS started, TIMESTAMP '2026-03-08 07:00:00.000000' AS ended
        UNION ALL SELECT 6 AS arm, 2 AS phase, 'it''s' AS experiment_key, 'arm 0' AS variant_key, TIMESTAMP '2026-03-08 04:00:00.000000' AS started, TIMESTAMP '2026-03-08 07:00:00.000000' AS ended
        UNION ALL SELECT 7 AS arm, 2 AS phase, 'it''s' AS experiment_key, 'arm 1' AS variant_key, TIMESTAMP '2026-03-08 04:00:00.000000' AS started, TIMESTAMP '2026-03-08 07:00:00.000000' AS ended) AS listed
)
SELECT hourly.bucket AS hour_number, hourly.arm AS arm, hourly.requests AS requests,
    hourly.conversions AS conversions, hourly.errors AS errors,
    hourly.latency_samples AS latency_samples, hourly.user_requests AS user_requests,
    hourly.user_conversions AS user_conversions, hourly.latency_ms_sum AS latency_ms_sum,
    hourly.latency_ms_sum_squares AS latency_ms_sum_squares, hourly.value_sum AS value_sum,
    hourly.value_sum_squares AS value_sum_squares, CAST(FLOOR(EXTRACT(EPOCH FROM hourly.newest)) AS BIGINT) * 1000000 AS newest_request_micros
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm,
        CAST(COUNT(*) AS BIGINT) AS requests,
        CAST(COUNT(request.converted_flag) AS BIGINT) AS conversions,
        CAST(COUNT(request.error_flag) AS BIGINT) AS errors,
        CAST(COUNT(request.latency) AS BIGINT) AS latency_samples,
        CAST(COUNT(request.user_key) AS BIGINT) AS user_requests,
        CAST(COUNT(CASE WHEN request.converted_flag = 1 THEN request.user_key END) AS BIGINT) AS user_conversions,
        CAST(COALESCE(SUM(request.latency), 0) AS DOUBLE PRECISION) AS latency_ms_sum,
        CAST(COALESCE(SUM(request.latency * request.latency), 0) AS DOUBLE PRECISION) AS latency_ms_sum_squares,
        CAST(COALESCE(SUM(request.amount), 0) AS DOUBLE PRECISION) AS value_sum,
        CAST(COALESCE(SUM(request.amount * request.amount), 0) AS DOUBLE PRECISION) AS value_sum_squares,
        MAX(request.created) AS newest
    FROM (
    SELECT CAST(FLOOR(EXTRACT(EPOCH FROM request."created_at") / 3600.0) AS BIGINT) AS bucket, request."created_at" AS created, arms.arm AS arm, arms.phase AS phase,
        CAST(NULL AS VARCHAR) AS user_key,
        CASE WHEN request."converted" THEN 1 END AS converted_flag,
        CASE WHEN request."is_error" THEN 1 END AS error_flag,
        CASE WHEN CAST(NULL AS DOUBLE PRECISION) > CAST('1e-100' AS DOUBLE PRECISION) AND CAST(NULL AS DOUBLE PRECISION) < CAST('1e100' AS DOUBLE PRECISION) THEN CAST(CAST(NULL AS DOUBLE PRECISION) AS DOUBLE PRECISION)
            WHEN CAST(NULL AS DOUBLE PRECISION) >= 0 AND CAST(NULL AS DOUBLE PRECISION) <= CAST('1e-100' AS DOUBLE PRECISION) THEN CAST(0 AS DOUBLE PRECISION) END AS latency,
        CASE WHEN ABS(request."value") > CAST('1e-100' AS DOUBLE PRECISION) AND ABS(request."value") < CAST('1e100' AS DOUBLE PRECISION) THEN CAST(request."value" AS DOUBLE PRECISION)
            WHEN ABS(request."value") <= CAST('1e-100' AS DOUBLE PRECISION) THEN CAST(0 AS DOUBLE PRECISION) END AS amount
    FROM "ai_requests" AS request
    LEFT JOIN arms
        ON arms.experiment_key = request."exp ""x""" AND arms.variant_key = request."arm"
        AND request."created_at" >= arms.started AND request."created_at" < arms.ended
    WHERE request."created_at" >= TIMESTAMP '2026-03-08 04:00:00.000000' AND request."created_at" < TIMESTAMP '2026-03-08 07:00:00.000000'
) AS request
    GROUP BY request.bucket, request.arm
) AS hourly
