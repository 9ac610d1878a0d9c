-- A run that works says so every few seconds, so that one whose process or host died is found out.
-- Bound: a row for each run that works now; what a dead run left is removed after a day.
CREATE TABLE run_signs_of_life (
    run_id text PRIMARY KEY,
    host text NOT NULL,
    machine text NOT NULL,
    process_id integer NOT NULL,
    process_started text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE api_tokens ADD COLUMN on_behalf boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN api_tokens.on_behalf IS 'who the body names is the actor, and the token stands beside it';

-- Through which token a promotion was made or undone, and who the request said it was, is read from the audit.
CREATE INDEX promotion_audit_promotion ON promotion_audit (promotion_id, id);
