"""The specification's own database, with rows in it: what its first user brings."""

from __future__ import annotations

from promotion_pipeline.store.database import Connection

TABLES = """
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text);
CREATE TABLE ab_experiments (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name TEXT NOT NULL UNIQUE,
    description TEXT,
    is_active BOOLEAN NOT NULL DEFAULT true,
    start_date TIMESTAMP NOT NULL DEFAULT now(),
    end_date TIMESTAMP
);
CREATE TABLE ab_variants (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    experiment_id UUID NOT NULL REFERENCES ab_experiments(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    is_control BOOLEAN NOT NULL DEFAULT false,
    traffic_percentage INTEGER NOT NULL
);
CREATE TABLE ai_requests (
    id BIGSERIAL PRIMARY KEY,
    experiment_id UUID NOT NULL,
    variant_id UUID NOT NULL,
    user_id UUID,
    created_at TIMESTAMP NOT NULL DEFAULT now(),
    latency_ms INTEGER,
    is_error BOOLEAN,
    converted BOOLEAN
);
CREATE TABLE experiment_promotions (
  id UUID PRIMARY KEY,
  experiment_id UUID NOT NULL REFERENCES ab_experiments(id),
  experiment_name TEXT NOT NULL,

  -- Winner info
  promoted_variant_id UUID NOT NULL,
  promoted_variant_name TEXT NOT NULL,

  -- Control info
  control_variant_id UUID NOT NULL,
  control_variant_name TEXT NOT NULL,

  -- Metrics
  confidence DECIMAL(5,2) NOT NULL,
  improvement DECIMAL(8,4) NOT NULL,
  sample_size INTEGER NOT NULL,

  -- Tracking
  promotion_type TEXT NOT NULL, -- 'auto' | 'manual'
  promoted_by UUID,
  promoted_at TIMESTAMP NOT NULL,

  -- Rollback
  rollback_at TIMESTAMP,
  rollback_reason TEXT,

  -- Metadata
  metadata JSONB NOT NULL DEFAULT '{}'
);
"""

ROWS = """
INSERT INTO ab_experiments (name, is_active, start_date) VALUES
    ('was-promoted', false, (now() AT TIME ZONE 'UTC') - interval '30 days'),
    ('was-rolled-back', true, (now() AT TIME ZONE 'UTC') - interval '30 days'),
    ('runs', true, date_trunc('hour', now() AT TIME ZONE 'UTC') - interval '96 hours');
INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
SELECT e.id, arm.name, arm.name = 'control',
    CASE WHEN e.name <> 'was-promoted' THEN 50 WHEN arm.name = 'control' THEN 0 ELSE 100 END
FROM ab_experiments e CROSS JOIN unnest(ARRAY['control', 'treatment']) AS arm (name);
INSERT INTO experiment_promotions
SELECT gen_random_uuid(), e.id, e.name, t.id, t.name, c.id, c.name, 95.5, 12.5, 4000, 'auto', NULL,
    (now() AT TIME ZONE 'UTC') - interval '20 days',
    CASE e.name WHEN 'was-rolled-back' THEN (now() AT TIME ZONE 'UTC') - interval '19 days' END,
    CASE e.name WHEN 'was-rolled-back' THEN 'errors' END, '{"jiraTicket": "PROJ-123"}'
FROM ab_experiments e JOIN ab_variants t ON t.experiment_id = e.id AND t.name = 'treatment'
JOIN ab_variants c ON c.experiment_id = e.id AND c.name = 'control' WHERE e.name <> 'runs';
INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted)
SELECT e.id, v.id, gen_random_uuid(), e.start_date + i * interval '57.6 seconds', 90 + i % 20, i % 100 = 0,
    i % 100 < CASE v.name WHEN 'control' THEN 10 ELSE 14 END
FROM ab_experiments e JOIN ab_variants v ON v.experiment_id = e.id CROSS JOIN generate_series(0, 5999) AS i
WHERE e.name = 'runs';
"""


def bring(connection: Connection) -> None:
    """Make the tables and rows in an empty database."""
    connection.execute(TABLES.encode())
    connection.execute(ROWS.encode())
