-- Bearer tokens. Only the SHA-256 is kept: a token has 256 random bits, so nothing slower is needed.
CREATE TABLE api_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (name <> ''),
    role text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE UNIQUE INDEX api_tokens_one_of_a_name ON api_tokens (name) WHERE revoked_at IS NULL;
COMMENT ON COLUMN api_tokens.name IS 'who the history names as the actor';

-- Answers to writes that came with an Idempotency-Key.
CREATE TABLE api_idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status integer NOT NULL CHECK (status BETWEEN 200 AND 499),
    body text NOT NULL,
    media_type text NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
);
CREATE INDEX api_idempotency_keys_stored_at ON api_idempotency_keys (stored_at);
COMMENT ON COLUMN api_idempotency_keys.fingerprint IS 'SHA-256 of method, path and body without its secrets';

-- Every write that somebody with a credential asked for, done or refused.
CREATE TABLE api_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id text NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    token_id uuid REFERENCES api_tokens (id),
    method text NOT NULL,
    route text NOT NULL,
    experiment_name text,
    claims jsonb NOT NULL DEFAULT '{}',
    status integer NOT NULL,
    code text
);
CREATE INDEX api_audit_experiment ON api_audit (experiment_name, id);
COMMENT ON COLUMN api_audit.claims IS 'who the body said was acting, where that is not the credential''s name';
CREATE FUNCTION api_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'api_audit is append-only: % is not allowed', TG_OP USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER api_audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON api_audit
    FOR EACH STATEMENT EXECUTE FUNCTION api_audit_is_append_only();
