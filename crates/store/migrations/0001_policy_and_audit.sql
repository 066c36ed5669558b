-- The policy head: one row, raised by one in every policy transaction. The row lock makes revisions gapless and in commit order.
CREATE TABLE policy_head (
    one {{int}} NOT NULL PRIMARY KEY CHECK (one = 1),
    revision {{int}} NOT NULL
) {{strict}};

INSERT INTO policy_head (one, revision) VALUES (1, 0);

-- What changed at which revision; followed by every node.
CREATE TABLE policy_log (
    revision {{int}} NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (revision, kind, id)
) {{strict}};

-- Holds no rows. On PostgreSQL each write locks it ROW SHARE, each policy change EXCLUSIVE; SQLite has one writer instead.
CREATE TABLE policy_gate (
    one {{int}} NOT NULL PRIMARY KEY
) {{strict}};

-- Append-only: the engine-specific files beside this one refuse UPDATE and DELETE.
CREATE TABLE audit_entry (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms {{int}} NOT NULL,
    request_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    on_behalf_of TEXT,
    credential_id TEXT,
    access_kind TEXT NOT NULL,
    operation TEXT NOT NULL,
    target TEXT,
    outcome TEXT NOT NULL,
    reason TEXT,
    trace TEXT,
    revision {{int}} NOT NULL,
    before_summary TEXT,
    after_summary TEXT,
    remote_address TEXT
) {{strict}};

CREATE INDEX audit_entry_at ON audit_entry (at_ms, id);

-- Filled after the fact by the sealing job: a gapless number and a hash chain over committed entries.
CREATE TABLE audit_seal (
    sequence {{int}} NOT NULL PRIMARY KEY,
    entry_id TEXT NOT NULL UNIQUE REFERENCES audit_entry (id),
    chain_hash {{blob}} NOT NULL
) {{strict}};
