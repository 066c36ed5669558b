-- People, groups, applications, credentials and site settings. Owner: accounts.

CREATE TABLE account_user (
    id              {{id}},
    account_id      TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL CHECK (kind IN ('person', 'service', 'app')),
    email           TEXT,
    email_folded    TEXT UNIQUE,
    display_name    TEXT NOT NULL,
    name_folded     TEXT NOT NULL,
    active          {{int}} NOT NULL,
    time_zone       TEXT NOT NULL,
    locale          TEXT NOT NULL,
    password_hash   TEXT,
    created_at_ms   {{int}} NOT NULL
) {{strict}};

CREATE TABLE account_group (
    id              {{id}},
    uuid            TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL UNIQUE,
    site_admin      {{int}} NOT NULL
) {{strict}};

CREATE TABLE account_membership (
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    group_id        {{int}} NOT NULL REFERENCES account_group (id),
    PRIMARY KEY (user_id, group_id)
) {{strict}};
CREATE INDEX account_membership_by_group ON account_membership (group_id, user_id);

-- An application (product) of the site; `position` is the bit the engine knows it by, 0 to 63.
CREATE TABLE account_application (
    key             TEXT NOT NULL PRIMARY KEY,
    name            TEXT NOT NULL,
    position        {{int}} NOT NULL UNIQUE CHECK (position BETWEEN 0 AND 63)
) {{strict}};

CREATE TABLE account_application_group (
    application_key TEXT NOT NULL REFERENCES account_application (key),
    group_id        {{int}} NOT NULL REFERENCES account_group (id),
    is_default      {{int}} NOT NULL,
    PRIMARY KEY (application_key, group_id)
) {{strict}};

-- group_id NULL: everyone, signed in or not.
CREATE TABLE account_global_grant (
    id              {{id}},
    permission      TEXT NOT NULL,
    group_id        {{int}} REFERENCES account_group (id)
) {{strict}};
CREATE UNIQUE INDEX account_global_grant_once ON account_global_grant (permission, coalesce(group_id, 0));

CREATE TABLE account_api_token (
    id              {{id}},
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    label           TEXT NOT NULL,
    hash            {{blob}} NOT NULL UNIQUE,
    hint            TEXT NOT NULL,
    scopes          TEXT,
    created_at_ms   {{int}} NOT NULL,
    expires_at_ms   {{int}} NOT NULL,
    last_used_at_ms {{int}}
) {{strict}};
CREATE INDEX account_api_token_by_user ON account_api_token (user_id);

CREATE TABLE account_session (
    id              {{id}},
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    hash            {{blob}} NOT NULL UNIQUE,
    form_key        {{blob}} NOT NULL,
    user_agent      TEXT NOT NULL,
    address         TEXT NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    expires_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX account_session_by_user ON account_session (user_id);

-- One value (JSON) per key; the keys and their defaults are listed in crates/accounts/src/settings.rs.
CREATE TABLE account_setting (
    key             TEXT NOT NULL PRIMARY KEY,
    value           TEXT NOT NULL
) {{strict}};
