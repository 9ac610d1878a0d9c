-- Somebody who logged in on the page with a token: the browser keeps a secret of the session, never the token.
CREATE TABLE page_sessions (
    secret_hash bytea PRIMARY KEY CHECK (octet_length(secret_hash) = 32),
    token_id uuid NOT NULL REFERENCES api_tokens (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX page_sessions_expires_at ON page_sessions (expires_at);
