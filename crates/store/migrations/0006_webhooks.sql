-- Messages to others, written in the transaction that they tell of and sent by a job. Owner: store.

-- What is sent. Messages of one change that say the same share it, and how far a message got is written without it.
CREATE TABLE store_outbox_body (
    id              {{id}},
    body            TEXT NOT NULL
) {{strict}};

-- `owner` is who gets it and `target` what it is for; `head` (JSON) is the sender's. Status: waiting, delivered, failed.
-- `leased_until_ms`: a node is at it. What was settled stays for a while, to be looked at and sent again.
CREATE TABLE store_outbox (
    id              {{id}},
    identifier      TEXT NOT NULL,
    owner           TEXT NOT NULL,
    target          {{int}} NOT NULL,
    head            TEXT NOT NULL,
    body_id         {{int}} NOT NULL REFERENCES store_outbox_body (id),
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
CREATE INDEX store_outbox_by_body ON store_outbox (body_id);

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

-- Modules that a running Connect app added to those of its descriptor; `module` is JSON. Owner: apps.
CREATE TABLE app_connect_module (
    id         {{id}},
    app        {{int}} NOT NULL REFERENCES app_connect (id),
    module_key TEXT NOT NULL,
    kind       TEXT NOT NULL,
    module     TEXT NOT NULL,
    UNIQUE (app, module_key)
) {{strict}};
