-- Second factors of people, and when a session last proved who is there. Owner: accounts.

-- A session that is older than this column has proven nothing lately: its next risky act asks.
ALTER TABLE account_session ADD COLUMN proven_at_ms {{int}} NOT NULL DEFAULT 0;

-- `secret` is sealed. `last_step` is the newest time step (RFC 6238) whose code was used: no code counts twice.
CREATE TABLE account_second_factor (
    user_id       {{int}} NOT NULL PRIMARY KEY REFERENCES account_user (id),
    secret        {{blob}} NOT NULL,
    last_step     {{int}} NOT NULL,
    created_at_ms {{int}} NOT NULL
) {{strict}};

-- Each is used once, and is then gone.
CREATE TABLE account_recovery_code (
    hash    {{blob}} NOT NULL PRIMARY KEY,
    user_id {{int}} NOT NULL REFERENCES account_user (id)
) {{strict}};
CREATE INDEX account_recovery_code_by_user ON account_recovery_code (user_id);
