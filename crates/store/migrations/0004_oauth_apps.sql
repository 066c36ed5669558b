-- OAuth 2.0 (3LO) apps: clients, what people let them do, and the tokens that came of it. Owner: apps.

-- Everything issued to apps before this moment is refused: a new password, a deactivated account, credentials revoked.
ALTER TABLE account_user ADD COLUMN apps_since_ms {{int}} NOT NULL DEFAULT 0;

-- kind: confidential (has secrets or keys), public (has none: PKCE is a must), service (acts for one service account).
-- registered: console, dynamic (RFC 7591), metadata (the client id is the URL of its document).
CREATE TABLE app_oauth_client (
    id              {{id}},
    client_id       TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL CHECK (kind IN ('confidential', 'public', 'service')),
    registered      TEXT NOT NULL CHECK (registered IN ('console', 'dynamic', 'metadata')),
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    owner_id        {{int}} REFERENCES account_user (id),
    service_user_id {{int}} REFERENCES account_user (id),
    profile         TEXT NOT NULL CHECK (profile IN ('rfc', 'atlassian')),
    scopes          TEXT NOT NULL,
    redirect_uris   TEXT NOT NULL,
    jwks            TEXT,
    pkce_required   {{int}} NOT NULL,
    par_required    {{int}} NOT NULL,
    dpop_required   {{int}} NOT NULL,
    shared          {{int}} NOT NULL,
    blocked         {{int}} NOT NULL,
    registration_hash {{blob}},
    created_at_ms   {{int}} NOT NULL,
    changed_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX app_oauth_client_by_owner ON app_oauth_client (owner_id);

-- Two may be in force, so that a secret is changed without an interruption. `sealed` opens for signing webhooks (HS256) only.
CREATE TABLE app_oauth_secret (
    id              {{id}},
    client          {{int}} NOT NULL REFERENCES app_oauth_client (id),
    hash            {{blob}} NOT NULL UNIQUE,
    sealed          {{blob}} NOT NULL,
    hint            TEXT NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    expires_at_ms   {{int}},
    last_used_at_ms {{int}}
) {{strict}};
CREATE INDEX app_oauth_secret_by_client ON app_oauth_secret (client);

-- One per app and account. `scopes` is what may be done now; a token never has more.
CREATE TABLE app_oauth_grant (
    id              {{id}},
    client          {{int}} NOT NULL REFERENCES app_oauth_client (id),
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    scopes          TEXT NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    changed_at_ms   {{int}} NOT NULL,
    last_used_at_ms {{int}},
    UNIQUE (client, user_id)
) {{strict}};
CREATE INDEX app_oauth_grant_by_user ON app_oauth_grant (user_id);

-- What one authorization led to. `handle` stands in its refresh tokens, the two hashes are of the token in force and of the one
-- before it. A family that died stays until its last access token has expired.
CREATE TABLE app_oauth_family (
    id              {{id}},
    handle          {{int}} NOT NULL UNIQUE,
    client          {{int}} NOT NULL REFERENCES app_oauth_client (id),
    grant_id        {{int}} NOT NULL,
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    scopes          TEXT NOT NULL,
    key_thumbprint  TEXT,
    generation      {{int}} NOT NULL,
    current_hash    {{blob}},
    previous_hash   {{blob}},
    rotated_at_ms   {{int}} NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    expires_at_ms   {{int}} NOT NULL,
    died_at_ms      {{int}},
    died_of         TEXT
) {{strict}};
CREATE INDEX app_oauth_family_by_grant ON app_oauth_family (grant_id);
CREATE INDEX app_oauth_family_by_user ON app_oauth_family (user_id);
CREATE INDEX app_oauth_family_by_expiry ON app_oauth_family (expires_at_ms);

-- `family` is set when the code is exchanged: a code that comes again then names what to revoke.
CREATE TABLE app_oauth_code (
    hash            {{blob}} NOT NULL PRIMARY KEY,
    client          {{int}} NOT NULL REFERENCES app_oauth_client (id),
    grant_id        {{int}} NOT NULL,
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    redirect_uri    TEXT NOT NULL,
    redirect_named  {{int}} NOT NULL,
    challenge       TEXT,
    key_thumbprint  TEXT,
    scopes          TEXT NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    expires_at_ms   {{int}} NOT NULL,
    family          {{int}}
) {{strict}};
CREATE INDEX app_oauth_code_by_expiry ON app_oauth_code (expires_at_ms);

-- Authorization requests that a client pushed (RFC 9126); `parameters` is JSON.
CREATE TABLE app_oauth_pushed (
    hash            {{blob}} NOT NULL PRIMARY KEY,
    client          {{int}} NOT NULL REFERENCES app_oauth_client (id),
    parameters      TEXT NOT NULL,
    expires_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX app_oauth_pushed_by_expiry ON app_oauth_pushed (expires_at_ms);

-- Devices that wait for somebody to approve them (RFC 8628).
CREATE TABLE app_oauth_device (
    hash            {{blob}} NOT NULL PRIMARY KEY,
    user_code       TEXT NOT NULL UNIQUE,
    client          {{int}} NOT NULL REFERENCES app_oauth_client (id),
    scopes          TEXT NOT NULL,
    key_thumbprint  TEXT,
    status          TEXT NOT NULL CHECK (status IN ('pending', 'approved', 'declined', 'used')),
    grant_id        {{int}},
    user_id         {{int}},
    interval_s      {{int}} NOT NULL,
    polled_at_ms    {{int}},
    expires_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX app_oauth_device_by_expiry ON app_oauth_device (expires_at_ms);

-- One-time ids of client assertions that were used (RFC 7523, section 3).
CREATE TABLE app_oauth_assertion (
    client          {{int}} NOT NULL,
    jti             TEXT NOT NULL,
    expires_at_ms   {{int}} NOT NULL,
    PRIMARY KEY (client, jti)
) {{strict}};
CREATE INDEX app_oauth_assertion_by_expiry ON app_oauth_assertion (expires_at_ms);

-- Keys that sign access tokens; the private half is sealed. The newest signs, the others only verify.
CREATE TABLE app_signing_key (
    kid             TEXT NOT NULL PRIMARY KEY,
    sealed          {{blob}} NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    retired_at_ms   {{int}}
) {{strict}};

-- What people are told about their apps: a refresh token that was used twice, an app blocked.
CREATE TABLE app_notice (
    id              {{id}},
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    client          {{int}} NOT NULL,
    kind            TEXT NOT NULL,
    at_ms           {{int}} NOT NULL
) {{strict}};
CREATE INDEX app_notice_by_user ON app_notice (user_id, at_ms);
