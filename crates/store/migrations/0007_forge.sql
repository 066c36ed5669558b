-- Apps whose code runs here. Owner of all of it: forge. `uuid` names a thing to the outside.

CREATE TABLE forge_app (
    id            {{id}},
    uuid          TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    owner         {{int}} NOT NULL REFERENCES account_user (id),
    created_at_ms {{int}} NOT NULL
) {{strict}};

-- `kind`: DEVELOPMENT, STAGING, PRODUCTION. Versions, variables, installations and data of one are not those of another.
CREATE TABLE forge_environment (
    id            {{id}},
    app           {{int}} NOT NULL REFERENCES forge_app (id),
    uuid          TEXT NOT NULL UNIQUE,
    key           TEXT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('DEVELOPMENT', 'STAGING', 'PRODUCTION')),
    created_at_ms {{int}} NOT NULL,
    UNIQUE (app, key)
) {{strict}};

-- What was deployed. `manifest` is JSON as it was sent; `files` are the code, as JSON by file name. A version without code
-- (`files` null) is the one that an app has before its first deployment.
CREATE TABLE forge_version (
    id            {{id}},
    uuid          TEXT NOT NULL UNIQUE,
    environment   {{int}} NOT NULL REFERENCES forge_environment (id),
    major         {{int}} NOT NULL,
    minor         {{int}} NOT NULL,
    manifest      TEXT NOT NULL,
    files         TEXT,
    deployed_by   {{int}} NOT NULL REFERENCES account_user (id),
    created_at_ms {{int}} NOT NULL,
    UNIQUE (environment, major, minor)
) {{strict}};

-- What became of a deployment; `errors` is a JSON list of sentences.
CREATE TABLE forge_deployment (
    id            {{id}},
    uuid          TEXT NOT NULL UNIQUE,
    environment   {{int}} NOT NULL REFERENCES forge_environment (id),
    version       {{int}} REFERENCES forge_version (id),
    errors        TEXT NOT NULL,
    created_at_ms {{int}} NOT NULL
) {{strict}};

-- Archives that wait for their deployment. The address of one is secret: only its hash is here.
CREATE TABLE forge_upload (
    id            {{id}},
    address_hash  {{blob}} NOT NULL UNIQUE,
    app           {{int}} NOT NULL REFERENCES forge_app (id),
    content       {{blob}},
    created_at_ms {{int}} NOT NULL
) {{strict}};

-- `value` is sealed, whether or not the developer may read it back (`secret`).
CREATE TABLE forge_variable (
    environment {{int}} NOT NULL REFERENCES forge_environment (id),
    key         TEXT NOT NULL,
    value       {{blob}} NOT NULL,
    secret      {{int}} NOT NULL,
    PRIMARY KEY (environment, key)
) {{strict}};

-- An app's environment on this site. `version` is what was consented to, with the scopes of it; `code` what runs. `data_key` seals what
-- the app keeps here: without it nobody reads that again.
CREATE TABLE forge_installation (
    id                {{id}},
    uuid              TEXT NOT NULL UNIQUE,
    environment       {{int}} NOT NULL REFERENCES forge_environment (id),
    version           {{int}} NOT NULL REFERENCES forge_version (id),
    code              {{int}} NOT NULL REFERENCES forge_version (id),
    user_id           {{int}} NOT NULL REFERENCES account_user (id),
    scopes            TEXT NOT NULL,
    data_key          {{blob}},
    installed_by      {{int}} NOT NULL REFERENCES account_user (id),
    installed_at_ms   {{int}} NOT NULL,
    changed_at_ms     {{int}} NOT NULL,
    uninstalled_at_ms {{int}}
) {{strict}};
CREATE UNIQUE INDEX forge_installation_of_environment ON forge_installation (environment) WHERE uninstalled_at_ms IS NULL;

-- What apps keep. `store`: kvs, secret, or entity: and its name. `value` is sealed with the installation's key.
CREATE TABLE forge_value (
    installation  {{int}} NOT NULL REFERENCES forge_installation (id),
    store         TEXT NOT NULL,
    key           TEXT NOT NULL,
    value         {{blob}} NOT NULL,
    bytes         {{int}} NOT NULL,
    created_at_ms {{int}} NOT NULL,
    updated_at_ms {{int}} NOT NULL,
    expires_at_ms {{int}},
    PRIMARY KEY (installation, store, key)
) {{strict}};
CREATE INDEX forge_value_by_expiry ON forge_value (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

-- Addresses at which the outside reaches an app's function. The address itself is the secret.
CREATE TABLE forge_web_trigger (
    id            {{id}},
    address       TEXT NOT NULL UNIQUE,
    installation  {{int}} NOT NULL REFERENCES forge_installation (id),
    module_key    TEXT NOT NULL,
    created_at_ms {{int}} NOT NULL,
    UNIQUE (installation, module_key)
) {{strict}};

-- What ran. `outcome`: ok, threw, limited, crashed. `principal`: the account that it acted for, where there was one.
CREATE TABLE forge_invocation (
    id            {{id}},
    uuid          TEXT NOT NULL UNIQUE,
    installation  {{int}} NOT NULL REFERENCES forge_installation (id),
    version       {{int}} NOT NULL REFERENCES forge_version (id),
    function_key  TEXT NOT NULL,
    module_type   TEXT NOT NULL,
    module_key    TEXT NOT NULL,
    principal     TEXT,
    started_at_ms {{int}} NOT NULL,
    took_us       {{int}} NOT NULL,
    outcome       TEXT NOT NULL,
    detail        TEXT NOT NULL,
    host_calls    {{int}} NOT NULL
) {{strict}};
CREATE INDEX forge_invocation_by_installation ON forge_invocation (installation, id);

CREATE TABLE forge_log (
    id         {{id}},
    invocation {{int}} NOT NULL REFERENCES forge_invocation (id),
    at_ms      {{int}} NOT NULL,
    level      TEXT NOT NULL,
    text       TEXT NOT NULL
) {{strict}};
CREATE INDEX forge_log_by_invocation ON forge_log (invocation, id);
