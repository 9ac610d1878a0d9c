-- compiled, not run here
WITH arms AS (
    SELECT * FROM (VALUES (0, 0, 'checkout', 'arm 0', TIMESTAMP '2026-03-08 04:00:00.000000', TIMESTAMP '2026-03-08 04:21:00.000000'),
        (1, 0, 'checkout', 'arm 1', TIMESTAMP '2026-03-08 04:00:00.000000', TIMESTAMP '2026-03-08 04:21:00.000000'),
        (2, 0, 'checkout', 'arm 2', TIMESTAMP '2026-03-08 04:00:00.000000', TIMESTAMP '2026-03-08 04:21:00.000000'),
        (3, 1, 'checkout', 'arm 0', TIMESTAMP '2026-03-08 04:21:00.000000', TIMESTAMP '2026-03-08 07:00:00.000000'),
        (4, 1, 'checkout', 'arm 1', TIMESTAMP '2026-03-08 04:21:00.000000', TIMESTAMP '2026-03-08 07:00:00.000000'),
        (5, 1, 'checkout', 'arm 2', TIMESTAMP '2026-03-08 04:21:00.000000', TIMESTAMP '2026-03-08 07:00:00.000000'),
        (6, 2, 'it''s', 'arm 0', TIMESTAMP '2026-03-08 04:00:00.000000', TIMESTAMP '2026-03-08 07:00:00.000000'),
        (7, 2, 'it''s', 'arm 1', TIMESTAMP '2026-03-08 04:00:00.000000', TIMESTAMP '2026-03-08 07:00:00.000000')) AS listed (arm, phase, experiment_key, variant_key, started, ended)
)
SELECT hourly.bucket AS hour_number, hourly.arm AS arm, hourly.requests AS requests,
    hourly.conversions AS conversions, hourly.errors AS errors,
    hourly.latency_samples AS latency_samples, hourly.user_requests AS user_requests,
    hourly.user_conversions AS user_conversions, hourly.latency_ms_sum AS latency_ms_sum,
    hourly.latency_ms_sum_squares AS latency_ms_sum_squares, hourly.value_sum AS value_sum,
    hourly.value_sum_squares AS value_sum_squares, CAST(ROUND(to_unixtime(with_timezone(hourly.newest, 'UTC')) * 1000000) AS BIGINT) AS newest_request_micros
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm,
        CAST(COUNT(*) AS BIGINT) AS requests,
        CAST(COUNT(request.converted_flag) AS BIGINT) AS conversions,
        CAST(COUNT(request.error_flag) AS BIGINT) AS errors,
        CAST(COUNT(request.latency) AS BIGINT) AS latency_samples,
        CAST(COUNT(request.user_key) AS BIGINT) AS user_requests,
        CAST(COUNT(CASE WHEN request.converted_flag = 1 THEN request.user_key END) AS BIGINT) AS user_conversions,
        CAST(COALESCE(SUM(request.latency), 0) AS DOUBLE) AS latency_ms_sum,
        CAST(COALESCE(SUM(request.latency * request.latency), 0) AS DOUBLE) AS latency_ms_sum_squares,
        CAST(COALESCE(SUM(request.amount), 0) AS DOUBLE) AS value_sum,
        CAST(COALESCE(SUM(request.amount * request.amount), 0) AS DOUBLE) AS value_sum_squares,
        MAX(request.created) AS newest
    FROM (
    SELECT CAST(FLOOR(to_unixtime(with_timezone(request."created_at", 'UTC')) / 3600) AS BIGINT) AS bucket, request."created_at" AS created, arms.arm AS arm, arms.phase AS phase,
        CAST(NULL AS VARCHAR) AS user_key,
        CASE WHEN request."converted" THEN 1 END AS converted_flag,
        CASE WHEN request."is_error" THEN 1 END AS error_flag,
        CASE WHEN CAST(NULL AS DOUBLE) > CAST('1e-100' AS DOUBLE) AND CAST(NULL AS DOUBLE) < CAST('1e100' AS DOUBLE) THEN CAST(CAST(NULL AS DOUBLE) AS DOUBLE)
            WHEN CAST(NULL AS DOUBLE) >= 0 AND CAST(NULL AS DOUBLE) <= CAST('1e-100' AS DOUBLE) THEN CAST(0 AS DOUBLE) END AS latency,
        CASE WHEN ABS(request."value") > CAST('1e-100' AS DOUBLE) AND ABS(request."value") < CAST('1e100' AS DOUBLE) THEN CAST(request."value" AS DOUBLE)
            WHEN ABS(request."value") <= CAST('1e-100' AS DOUBLE) THEN CAST(0 AS DOUBLE) END AS amount
    FROM "ai_requests" AS request
    LEFT JOIN arms
        ON arms.experiment_key = request."exp ""x""" AND arms.variant_key = request."arm"
        AND request."created_at" >= arms.started AND request."created_at" < arms.ended
    WHERE request."created_at" >= TIMESTAMP '2026-03-08 04:00:00.000000' AND request."created_at" < TIMESTAMP '2026-03-08 07:00:00.000000'
) AS request
    GROUP BY request.bucket, request.arm
) AS hourly
