-- What the watch last saw of a promotion and what it raised: one row a promotion, rewritten as it looks again. The
-- promotion's record itself never changes; what happened, and when, is in the audit. It grows with the promotions.
CREATE TABLE promotion_watch (
    promotion_id uuid PRIMARY KEY REFERENCES experiment_promotions (id) ON DELETE CASCADE,
    looked_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('clean', 'breach', 'unmeasured')),
    message text NOT NULL,
    requests bigint NOT NULL DEFAULT 0,
    hours jsonb NOT NULL DEFAULT '[]',
    breached_at timestamptz,
    breach jsonb,
    acknowledged_at timestamptz,
    acknowledged_by text,
    acknowledged_because text,
    muted text[] NOT NULL DEFAULT '{}',
    blind_since timestamptz,
    blind_because text,
    blind_told_at timestamptz,
    drifted_at timestamptz,
    drift text,
    CHECK ((breached_at IS NULL) = (breach IS NULL)),
    CHECK ((blind_since IS NULL) = (blind_because IS NULL)),
    CHECK (blind_told_at IS NULL OR blind_since IS NOT NULL),
    CHECK ((drifted_at IS NULL) = (drift IS NULL))
);
COMMENT ON COLUMN promotion_watch.requests IS 'of the winner, since the current step';
COMMENT ON COLUMN promotion_watch.hours IS 'the winner hour by hour, as last read while a breach was open';
COMMENT ON COLUMN promotion_watch.breach IS 'what the watch saw when it raised the alarm; null: none is open';
COMMENT ON COLUMN promotion_watch.muted IS 'metrics whose breach a person acknowledged, until they are clean again';
COMMENT ON COLUMN promotion_watch.blind_since IS 'nothing of the winner could be seen since';
COMMENT ON COLUMN promotion_watch.drifted_at IS 'when the watch first saw that somebody else changed the split';
