-- Connect apps: remote apps that prove themselves with a JWT, each with an account of its own. Owner: apps.

-- A row stays when the app is uninstalled, because its account does; its secrets do not. `since_ms`: tokens to act for users count
-- when they were issued after this moment.
CREATE TABLE app_connect (
    id                {{id}},
    app_key           TEXT NOT NULL UNIQUE,
    name              TEXT NOT NULL,
    description       TEXT NOT NULL,
    vendor            TEXT NOT NULL,
    descriptor_url    TEXT NOT NULL,
    descriptor        TEXT NOT NULL,
    base_url          TEXT NOT NULL,
    enabled_path      TEXT,
    disabled_path     TEXT,
    uninstalled_path  TEXT,
    scopes            TEXT NOT NULL,
    user_id           {{int}} NOT NULL REFERENCES account_user (id),
    client_key        TEXT NOT NULL,
    oauth_client_id   TEXT NOT NULL UNIQUE,
    enabled           {{int}} NOT NULL,
    secret            {{blob}},
    previous_secret   {{blob}},
    previous_until_ms {{int}},
    since_ms          {{int}} NOT NULL,
    installed_by      {{int}} NOT NULL REFERENCES account_user (id),
    installed_at_ms   {{int}} NOT NULL,
    changed_at_ms     {{int}} NOT NULL,
    uninstalled_at_ms {{int}}
) {{strict}};

-- What an app keeps here for itself.
CREATE TABLE app_connect_property (
    app     {{int}} NOT NULL REFERENCES app_connect (id),
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (app, name)
) {{strict}};

-- Installations that a client began by the plugin manager's API and asks about; `problem` is for the administrator.
CREATE TABLE app_connect_task (
    id            TEXT NOT NULL PRIMARY KEY,
    app_key       TEXT,
    problem       TEXT,
    expires_at_ms {{int}} NOT NULL
) {{strict}};

-- Keys that sign `installed` and `uninstalled` (RS256); the private half is sealed. The newest signs, the others can be looked up.
CREATE TABLE app_install_key (
    kid           TEXT NOT NULL PRIMARY KEY,
    sealed        {{blob}} NOT NULL,
    public_pem    TEXT NOT NULL,
    created_at_ms {{int}} NOT NULL
) {{strict}};

-- One-time use of assertions at the impersonation grant, by their hash.
CREATE TABLE app_connect_assertion (
    hash          {{blob}} NOT NULL PRIMARY KEY,
    expires_at_ms {{int}} NOT NULL
) {{strict}};
CREATE INDEX app_connect_assertion_by_expiry ON app_connect_assertion (expires_at_ms);
