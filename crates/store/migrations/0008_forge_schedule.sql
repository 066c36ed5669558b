-- When a scheduled trigger of an installed app runs next. Owner: forge.
CREATE TABLE forge_schedule (
    installation  {{int}} NOT NULL REFERENCES forge_installation (id),
    module_key    TEXT NOT NULL,
    due_at_ms     {{int}} NOT NULL,
    PRIMARY KEY (installation, module_key)
) {{strict}};
CREATE INDEX forge_schedule_by_due ON forge_schedule (due_at_ms);
