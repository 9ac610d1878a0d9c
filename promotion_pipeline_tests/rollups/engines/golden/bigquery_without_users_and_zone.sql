-- compiled, not run here
WITH arms AS (
    SELECT * FROM UNNEST([STRUCT(0 AS arm, 0 AS phase, 'checkout' AS experiment_key, 'arm 0' AS variant_key, DATETIME '2026-03-08 04:00:00.000000' AS started, DATETIME '2026-03-08 04:21:00.000000' AS ended),
        STRUCT(1 AS arm, 0 AS phase, 'checkout' AS experiment_key, 'arm 1' AS variant_key, DATETIME '2026-03-08 04:00:00.000000' AS started, DATETIME '2026-03-08 04:21:00.000000' AS ended),
        STRUCT(2 AS arm, 0 AS phase, 'checkout' AS experiment_key, 'arm 2' AS variant_key, DATETIME '2026-03-08 04:00:00.000000' AS started, DATETIME '2026-03-08 04:21:00.000000' AS ended),
        STRUCT(3 AS arm, 1 AS phase, 'checkout' AS experiment_key, 'arm 0' AS variant_key, DATETIME '2026-03-08 04:21:00.000000' AS started, DATETIME '2026-03-08 07:00:00.000000' AS ended),
        STRUCT(4 AS arm, 1 AS phase, 'checkout' AS experiment_key, 'arm 1' AS variant_key, DATETIME '2026-03-08 04:21:00.000000' AS started, DATETIME '2026-03-08 07:00:00.000000' AS ended),
        STRUCT(5 AS arm, 1 AS phase, 'checkout' AS experiment_key, 'arm 2' AS variant_key, DATETIME '2026-03-08 04:21:00.000000' AS started, DATETIME '2026-03-08 07:00:00.000000' AS ended),
        STRUCT(6 AS arm, 2 AS phase, 'it\'s' AS experiment_key, 'arm 0' AS variant_key, DATETIME '2026-03-08 04:00:00.000000' AS started, DATETIME '2026-03-08 07:00:00.000000' AS ended),
        STRUCT(7 AS arm, 2 AS phase, 'it\'s' AS experiment_key, 'arm 1' AS variant_key, DATETIME '2026-03-08 04:00:00.000000' AS started, DATETIME '2026-03-08 07:00:00.000000' AS ended)]) AS listed
)
SELECT hourly.bucket AS hour_number, hourly.arm AS arm, hourly.requests AS requests,
    hourly.conversions AS conversions, hourly.errors AS errors,
    hourly.latency_samples AS latency_samples, hourly.user_requests AS user_requests,
    hourly.user_conversions AS user_conversions, hourly.latency_ms_sum AS latency_ms_sum,
    hourly.latency_ms_sum_squares AS latency_ms_sum_squares, hourly.value_sum AS value_sum,
    hourly.value_sum_squares AS value_sum_squares, UNIX_MICROS(TIMESTAMP(hourly.newest, 'UTC')) AS newest_request_micros
FROM (
    SELECT request.bucket AS bucket, request.arm AS arm,
        CAST(COUNT(*) AS INT64) AS requests,
        CAST(COUNT(request.converted_flag) AS INT64) AS conversions,
        CAST(COUNT(request.error_flag) AS INT64) AS errors,
        CAST(COUNT(request.latency) AS INT64) AS latency_samples,
        CAST(COUNT(request.user_key) AS INT64) AS user_requests,
        CAST(COUNT(CASE WHEN request.converted_flag = 1 THEN request.user_key END) AS INT64) AS user_conversions,
        CAST(COALESCE(SUM(request.latency), 0) AS FLOAT64) AS latency_ms_sum,
        CAST(COALESCE(SUM(request.latency * request.latency), 0) AS FLOAT64) AS latency_ms_sum_squares,
        CAST(COALESCE(SUM(request.amount), 0) AS FLOAT64) AS value_sum,
        CAST(COALESCE(SUM(request.amount * request.amount), 0) AS FLOAT64) AS value_sum_squares,
        MAX(request.created) AS newest
    FROM (
    SELECT DIV(UNIX_SECONDS(TIMESTAMP(request.`created_at`, 'UTC')), 3600) AS bucket, request.`created_at` AS created, arms.arm AS arm, arms.phase AS phase,
        CAST(NULL AS STRING) AS user_key,
        CASE WHEN request.`converted` THEN 1 END AS converted_flag,
        CASE WHEN request.`is_error` THEN 1 END AS error_flag,
        CASE WHEN CAST(NULL AS FLOAT64) > CAST('1e-100' AS FLOAT64) AND CAST(NULL AS FLOAT64) < CAST('1e100' AS FLOAT64) THEN CAST(CAST(NULL AS FLOAT64) AS FLOAT64)
            WHEN CAST(NULL AS FLOAT64) >= 0 AND CAST(NULL AS FLOAT64) <= CAST('1e-100' AS FLOAT64) THEN CAST(0 AS FLOAT64) END AS latency,
        CASE WHEN ABS(request.`value`) > CAST('1e-100' AS FLOAT64) AND ABS(request.`value`) < CAST('1e100' AS FLOAT64) THEN CAST(request.`value` AS FLOAT64)
            WHEN ABS(request.`value`) <= CAST('1e-100' AS FLOAT64) THEN CAST(0 AS FLOAT64) END AS amount
    FROM `ai_requests` AS request
    LEFT JOIN arms
        ON arms.experiment_key = request.`exp "x"` AND arms.variant_key = request.`arm`
        AND request.`created_at` >= arms.started AND request.`created_at` < arms.ended
    WHERE request.`created_at` >= DATETIME '2026-03-08 04:00:00.000000' AND request.`created_at` < DATETIME '2026-03-08 07:00:00.000000'
) AS request
    GROUP BY request.bucket, request.arm
) AS hourly
