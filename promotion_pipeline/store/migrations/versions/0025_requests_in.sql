ALTER TABLE api_tokens DROP CONSTRAINT api_tokens_role_check,
    ADD CONSTRAINT api_tokens_role_check CHECK (role IN ('viewer', 'operator', 'admin', 'ingest', 'evaluate'));

CREATE TABLE ai_events (
    id uuid PRIMARY KEY,
    experiment_id uuid NOT NULL,
    user_id text NOT NULL,
    created_at timestamptz NOT NULL,
    name text NOT NULL CHECK (name <> ''),
    value numeric
);
CREATE INDEX ai_events_of_experiment ON ai_events (experiment_id, name, created_at);
COMMENT ON TABLE ai_events IS
    'Outcomes that are not on a request''s row: purchases, refunds, sign-ups. Bound: a row an event that is sent; yours to delete, like requests.';
COMMENT ON COLUMN ai_events.user_id IS 'as in ai_requests';

-- ai_requests has no index by id alone, and a partitioned table can have none that is unique: which requests were
-- sent before, and where they are, is kept here.
CREATE TABLE sent_requests (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sent_requests_received_at_brin ON sent_requests USING brin (received_at) WITH (autosummarize = on);
COMMENT ON TABLE sent_requests IS
    'Ids of requests that were sent over HTTP, so that one sent again changes nothing and an outcome finds its row. Bound: a row a request of the last 35 days.';
COMMENT ON COLUMN sent_requests.created_at IS 'of the request''s row in ai_requests';
