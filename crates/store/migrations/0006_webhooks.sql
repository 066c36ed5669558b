-- Messages to others, written in the transaction that they tell of and sent by a job. Owner: store.

-- `owner` is who gets it and `target` what it is for; `head` (JSON) and `body` are the sender's. Status: waiting, delivered, failed.
-- `leased_until_ms`: a node is at it. What was settled stays for a while, to be looked at and sent again.
CREATE TABLE store_outbox (
    id              {{id}},
    identifier      TEXT NOT NULL UNIQUE,
    owner           TEXT NOT NULL,
    target          {{int}} NOT NULL,
    head            TEXT NOT NULL,
    body            TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('waiting', 'delivered', 'failed')),
    attempts        {{int}} NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    due_at_ms       {{int}},
    leased_until_ms {{int}},
    settled_at_ms   {{int}},
    note            TEXT NOT NULL
) {{strict}};
CREATE INDEX store_outbox_by_due ON store_outbox (due_at_ms, id) WHERE due_at_ms IS NOT NULL;
CREATE INDEX store_outbox_by_owner ON store_outbox (owner, id);

-- What apps want to be told of. A Connect app's descriptor names some (`fixed`), others are registered while it works. An OAuth 2.0
-- app registers them under a grant. The lists are JSON. Owner: apps.
CREATE TABLE app_webhook (
    id             {{id}},
    connect_app    {{int}} REFERENCES app_connect (id),
    client         {{int}} REFERENCES app_oauth_client (id),
    grant_id       {{int}},
    fixed          {{int}} NOT NULL,
    url            TEXT NOT NULL,
    events         TEXT NOT NULL,
    jql            TEXT NOT NULL,
    field_ids      TEXT NOT NULL,
    property_keys  TEXT NOT NULL,
    exclude_body   {{int}} NOT NULL,
    created_at_ms  {{int}} NOT NULL,
    expires_at_ms  {{int}},
    CHECK ((connect_app IS NULL) <> (client IS NULL))
) {{strict}};
CREATE INDEX app_webhook_by_connect_app ON app_webhook (connect_app);
CREATE INDEX app_webhook_by_grant ON app_webhook (grant_id);
