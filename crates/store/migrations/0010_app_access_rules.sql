-- Projects that apps may not reach. Owner: apps.

-- `app`: connect:{key}, forge:{uuid}, oauth:{client id}, or * for every app.
CREATE TABLE app_access_rule (
    id            {{id}},
    project_id    {{int}} NOT NULL,
    app           TEXT NOT NULL,
    created_by    {{int}},
    created_at_ms {{int}} NOT NULL,
    UNIQUE (project_id, app)
) {{strict}};
