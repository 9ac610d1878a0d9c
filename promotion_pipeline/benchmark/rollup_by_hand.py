"""SQL as an analyst would write it for one engine and one known table: what the rollup is measured against."""

from __future__ import annotations

SEED = (
    """
    INSERT INTO ab_experiments (id, name, start_date)
    SELECT ('00000000-0000-4000-8000-' || lpad(e::text, 12, '0'))::uuid, 'experiment ' || e, %(start)s
    FROM generate_series(0, %(experiments)s - 1) AS e
    """,
    """
    INSERT INTO ab_variants (id, experiment_id, name, is_control, traffic_percentage)
    SELECT ('00000000-0000-4000-9000-' || lpad((e * %(arms)s + v)::text, 12, '0'))::uuid,
        ('00000000-0000-4000-8000-' || lpad(e::text, 12, '0'))::uuid, 'variant ' || v, v = 0,
        CASE WHEN v = 0 THEN 100 - (%(arms)s - 1) * trunc(100.0 / %(arms)s, 2) ELSE trunc(100.0 / %(arms)s, 2) END
    FROM generate_series(0, %(experiments)s - 1) AS e, generate_series(0, %(arms)s - 1) AS v
    """,
)

REQUESTS = """
SELECT concat('00000000-0000-4000-8000-', lpad((u % {experiments})::VARCHAR, 12, '0'))::UUID AS experiment_id,
    concat('00000000-0000-4000-9000-', lpad((u % {experiments} * {arms} + hash(u) % {arms})::VARCHAR, 12, '0'))::UUID
        AS variant_id,
    'user-' || u AS user_id,
    TIMESTAMPTZ '{start}' + to_microseconds(moment) AS created_at,
    CAST(100 + (h % 1000) / 7.0 AS DOUBLE) AS latency_ms, h % 50 = 0 AS is_error, h % 20 = 0 AS converted,
    CAST((h % 5000) / 100.0 AS DECIMAL(10, 2)) AS value
FROM (
    SELECT hash(i) % {users} AS u, hash(i + 1) AS h,
        (hash(i + 2) % (30 * 86400000000::UBIGINT))::BIGINT AS moment
    FROM range({requests}) AS numbers (i)
)
ORDER BY created_at
"""

_SUMS = """
    count(*) AS requests, count(*) FILTER (WHERE converted) AS conversions, count(*) FILTER (WHERE is_error) AS errors,
    count(latency_ms) AS latency_samples{users},
    sum(latency_ms) AS latency_ms_sum, sum(latency_ms * latency_ms) AS latency_ms_sum_squares,
    sum(value::float8) AS value_sum, sum(value::float8 * value::float8) AS value_sum_squares,
    max(created_at) AS newest_request_at
"""
_USER_COUNTS = """,
    count(user_id) AS user_requests, count(user_id) FILTER (WHERE converted) AS user_conversions"""
_HOURLY = """
SELECT date_trunc('hour', created_at) AS hour, experiment_id, variant_id, {sums}
FROM {table} WHERE created_at >= START AND created_at < END_ GROUP BY 1, 2, 3
"""
_USERS = """
WITH user_hours AS (
    SELECT date_trunc('hour', created_at) AS hour, experiment_id, variant_id, user_id,
        count(*) AS dd, count(*) FILTER (WHERE converted) AS dy, sum(value::float8) AS dv
    FROM {table} WHERE user_id IS NOT NULL AND created_at >= START AND created_at < END_ GROUP BY 1, 2, 3, 4
), totals AS (
    SELECT *, (sum(dd) OVER so_far)::bigint AS d, (sum(dy) OVER so_far)::bigint AS y, sum(dv) OVER so_far AS v,
        first_value(variant_id) OVER (PARTITION BY experiment_id, user_id ORDER BY hour, variant_id) AS first_variant
    FROM user_hours
    WINDOW so_far AS (PARTITION BY experiment_id, user_id, variant_id ORDER BY hour ROWS UNBOUNDED PRECEDING)
), moments AS (
    SELECT hour, experiment_id, variant_id, count(*) FILTER (WHERE d = dd) AS new_users,
        sum(y * y - (y - dy) * (y - dy))::bigint AS user_conversions_sum_squares,
        sum(d * d - (d - dd) * (d - dd))::bigint AS user_requests_sum_squares,
        sum(y * d - (y - dy) * (d - dd))::bigint AS user_conversions_requests_sum_products,
        sum(v * v - (v - dv) * (v - dv)) AS user_value_sum_squares,
        sum(v * d - (v - dv) * (d - dd)) AS user_value_requests_sum_products,
        count(*) FILTER (WHERE d = dd AND first_variant <> variant_id) AS crossed_users
    FROM totals GROUP BY 1, 2, 3
), hourly AS ({hourly})
SELECT * FROM hourly LEFT JOIN moments USING (hour, experiment_id, variant_id)
"""


def _both(table: str) -> tuple[str, str]:
    plain = _HOURLY.format(sums=_SUMS.format(users=""), table=table)
    counted = _HOURLY.format(sums=_SUMS.format(users=_USER_COUNTS), table=table)
    return plain, _USERS.format(table=table, hourly=counted)


POSTGRESQL_SUMS, POSTGRESQL_USERS = _both("ai_requests")
DUCKDB_SUMS, DUCKDB_USERS = _both("FILES")
