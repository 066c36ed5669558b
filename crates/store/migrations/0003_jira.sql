-- The resource server: projects, issues and what belongs to them. Owner: jira.
-- Columns named *_folded hold the text in lower case (Unicode), made by us, so that both engines search alike.

CREATE TABLE jira_role (
    id              {{id}},
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL,
    description     TEXT NOT NULL,
    project_id      {{int}}
) {{strict}};
CREATE UNIQUE INDEX jira_role_name ON jira_role (name_folded, coalesce(project_id, 0));

CREATE TABLE jira_role_default_actor (
    id              {{id}},
    role_id         {{int}} NOT NULL REFERENCES jira_role (id),
    user_id         {{int}} REFERENCES account_user (id),
    group_id        {{int}} REFERENCES account_group (id)
) {{strict}};
CREATE UNIQUE INDEX jira_role_default_actor_once ON jira_role_default_actor (role_id, coalesce(user_id, 0), coalesce(group_id, 0));

CREATE TABLE jira_permission_scheme (
    id              {{id}},
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL UNIQUE,
    description     TEXT NOT NULL,
    project_id      {{int}}
) {{strict}};

-- holder_type is the word of the wire; at most one of the four references is set, as the type asks.
CREATE TABLE jira_permission_grant (
    id              {{id}},
    scheme_id       {{int}} NOT NULL REFERENCES jira_permission_scheme (id),
    permission      TEXT NOT NULL,
    holder_type     TEXT NOT NULL,
    user_id         {{int}} REFERENCES account_user (id),
    group_id        {{int}} REFERENCES account_group (id),
    role_id         {{int}} REFERENCES jira_role (id),
    field_id        {{int}},
    application_key TEXT REFERENCES account_application (key)
) {{strict}};
CREATE UNIQUE INDEX jira_permission_grant_once ON jira_permission_grant
    (scheme_id, permission, holder_type, coalesce(user_id, 0), coalesce(group_id, 0), coalesce(role_id, 0), coalesce(field_id, 0), coalesce(application_key, ''));

CREATE TABLE jira_security_scheme (
    id              {{id}},
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    default_level_id {{int}}
) {{strict}};

CREATE TABLE jira_security_level (
    id              {{id}},
    scheme_id       {{int}} NOT NULL REFERENCES jira_security_scheme (id),
    name            TEXT NOT NULL,
    description     TEXT NOT NULL
) {{strict}};

CREATE TABLE jira_security_member (
    id              {{id}},
    level_id        {{int}} NOT NULL REFERENCES jira_security_level (id),
    holder_type     TEXT NOT NULL,
    user_id         {{int}} REFERENCES account_user (id),
    group_id        {{int}} REFERENCES account_group (id),
    role_id         {{int}} REFERENCES jira_role (id),
    field_id        {{int}},
    application_key TEXT REFERENCES account_application (key)
) {{strict}};
CREATE UNIQUE INDEX jira_security_member_once ON jira_security_member
    (level_id, holder_type, coalesce(user_id, 0), coalesce(group_id, 0), coalesce(role_id, 0), coalesce(field_id, 0), coalesce(application_key, ''));

CREATE TABLE jira_project_category (
    id              {{id}},
    name            TEXT NOT NULL UNIQUE,
    description     TEXT NOT NULL
) {{strict}};

CREATE TABLE jira_project (
    id              {{id}},
    uuid            TEXT NOT NULL UNIQUE,
    key             TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL UNIQUE,
    description     TEXT NOT NULL,
    url             TEXT NOT NULL,
    lead_id         {{int}} REFERENCES account_user (id),
    type_key        TEXT NOT NULL,
    team_managed    {{int}} NOT NULL,
    assignee_type   TEXT NOT NULL,
    permission_scheme_id {{int}} NOT NULL REFERENCES jira_permission_scheme (id),
    security_scheme_id {{int}} REFERENCES jira_security_scheme (id),
    category_id     {{int}} REFERENCES jira_project_category (id),
    next_issue_number {{int}} NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    archived_at_ms  {{int}},
    trashed_at_ms   {{int}},
    trashed_by      {{int}} REFERENCES account_user (id)
) {{strict}};

-- Keys a project had before; they stay reserved and keep finding it.
CREATE TABLE jira_project_former_key (
    key             TEXT NOT NULL PRIMARY KEY,
    project_id      {{int}} NOT NULL REFERENCES jira_project (id)
) {{strict}};

CREATE TABLE jira_role_actor (
    id              {{id}},
    project_id      {{int}} NOT NULL REFERENCES jira_project (id),
    role_id         {{int}} NOT NULL REFERENCES jira_role (id),
    user_id         {{int}} REFERENCES account_user (id),
    group_id        {{int}} REFERENCES account_group (id)
) {{strict}};
CREATE UNIQUE INDEX jira_role_actor_once ON jira_role_actor (project_id, role_id, coalesce(user_id, 0), coalesce(group_id, 0));

CREATE TABLE jira_issue_type (
    id              {{id}},
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    hierarchy_level {{int}} NOT NULL
) {{strict}};

CREATE TABLE jira_status (
    id              {{id}},
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    category        TEXT NOT NULL CHECK (category IN ('new', 'indeterminate', 'done'))
) {{strict}};

-- One workflow for the site: from_status_id NULL is a transition from every status.
CREATE TABLE jira_transition (
    id              {{id}},
    name            TEXT NOT NULL,
    from_status_id  {{int}} REFERENCES jira_status (id),
    to_status_id    {{int}} NOT NULL REFERENCES jira_status (id)
) {{strict}};

CREATE TABLE jira_priority (
    id              {{id}},
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    color           TEXT NOT NULL,
    position        {{int}} NOT NULL
) {{strict}};

CREATE TABLE jira_resolution (
    id              {{id}},
    name            TEXT NOT NULL,
    description     TEXT NOT NULL
) {{strict}};

CREATE TABLE jira_link_type (
    id              {{id}},
    name            TEXT NOT NULL UNIQUE,
    inward          TEXT NOT NULL,
    outward         TEXT NOT NULL
) {{strict}};

-- Custom fields. kind: textfield, textarea, float, datepicker, datetime, select, multiselect, userpicker, multiuserpicker, grouppicker, labels, url
CREATE TABLE jira_field (
    id              {{id}},
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    kind            TEXT NOT NULL,
    trashed_at_ms   {{int}}
) {{strict}};

CREATE TABLE jira_field_option (
    id              {{id}},
    field_id        {{int}} NOT NULL REFERENCES jira_field (id),
    value           TEXT NOT NULL,
    position        {{int}} NOT NULL,
    disabled        {{int}} NOT NULL
) {{strict}};

CREATE TABLE jira_issue (
    id              {{id}},
    project_id      {{int}} NOT NULL REFERENCES jira_project (id),
    number          {{int}} NOT NULL,
    issue_type_id   {{int}} NOT NULL REFERENCES jira_issue_type (id),
    status_id       {{int}} NOT NULL REFERENCES jira_status (id),
    priority_id     {{int}} REFERENCES jira_priority (id),
    resolution_id   {{int}} REFERENCES jira_resolution (id),
    security_level_id {{int}} REFERENCES jira_security_level (id),
    parent_id       {{int}} REFERENCES jira_issue (id),
    creator_id      {{int}} REFERENCES account_user (id),
    reporter_id     {{int}} REFERENCES account_user (id),
    assignee_id     {{int}} REFERENCES account_user (id),
    summary         TEXT NOT NULL,
    summary_folded  TEXT NOT NULL,
    description     TEXT,
    description_folded TEXT NOT NULL,
    environment     TEXT,
    environment_folded TEXT NOT NULL,
    due_date        TEXT,
    created_at_ms   {{int}} NOT NULL,
    updated_at_ms   {{int}} NOT NULL,
    resolved_at_ms  {{int}},
    status_changed_at_ms {{int}} NOT NULL,
    original_estimate_s {{int}},
    remaining_estimate_s {{int}},
    UNIQUE (project_id, number)
) {{strict}};
CREATE INDEX jira_issue_by_reporter ON jira_issue (reporter_id);
CREATE INDEX jira_issue_by_assignee ON jira_issue (assignee_id);
CREATE INDEX jira_issue_by_parent ON jira_issue (parent_id);
CREATE INDEX jira_issue_by_updated ON jira_issue (updated_at_ms);

-- Keys an issue had before it moved.
CREATE TABLE jira_issue_former_key (
    project_key     TEXT NOT NULL,
    number          {{int}} NOT NULL,
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    PRIMARY KEY (project_key, number)
) {{strict}};

CREATE TABLE jira_issue_label (
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    label           TEXT NOT NULL,
    PRIMARY KEY (issue_id, label)
) {{strict}};
CREATE INDEX jira_issue_label_by_label ON jira_issue_label (label, issue_id);

CREATE TABLE jira_component (
    id              {{id}},
    project_id      {{int}} NOT NULL REFERENCES jira_project (id),
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL,
    description     TEXT NOT NULL,
    lead_id         {{int}} REFERENCES account_user (id),
    assignee_type   TEXT NOT NULL,
    UNIQUE (project_id, name_folded)
) {{strict}};

CREATE TABLE jira_version (
    id              {{id}},
    project_id      {{int}} NOT NULL REFERENCES jira_project (id),
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL,
    description     TEXT,
    archived        {{int}} NOT NULL,
    released        {{int}} NOT NULL,
    start_date      TEXT,
    release_date    TEXT,
    position        {{int}} NOT NULL,
    UNIQUE (project_id, name_folded)
) {{strict}};

CREATE TABLE jira_issue_component (
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    component_id    {{int}} NOT NULL REFERENCES jira_component (id),
    PRIMARY KEY (issue_id, component_id)
) {{strict}};
CREATE INDEX jira_issue_component_by_component ON jira_issue_component (component_id);

-- kind: fix or affects
CREATE TABLE jira_issue_version (
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    version_id      {{int}} NOT NULL REFERENCES jira_version (id),
    kind            TEXT NOT NULL CHECK (kind IN ('fix', 'affects')),
    PRIMARY KEY (issue_id, version_id, kind)
) {{strict}};
CREATE INDEX jira_issue_version_by_version ON jira_issue_version (version_id, kind);

-- One row per value; multi-value fields have several. `value` is the text, number, date, or option id as JSON.
CREATE TABLE jira_issue_value (
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    field_id        {{int}} NOT NULL REFERENCES jira_field (id),
    position        {{int}} NOT NULL,
    value           TEXT NOT NULL,
    value_folded    TEXT NOT NULL,
    user_id         {{int}} REFERENCES account_user (id),
    group_id        {{int}} REFERENCES account_group (id),
    option_id       {{int}} REFERENCES jira_field_option (id),
    PRIMARY KEY (issue_id, field_id, position)
) {{strict}};
CREATE INDEX jira_issue_value_by_user ON jira_issue_value (user_id, field_id);

-- restriction_type: NULL, group or role. A set type with both ids NULL means that the group or role is gone: nobody.
CREATE TABLE jira_comment (
    id              {{id}},
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    author_id       {{int}} REFERENCES account_user (id),
    update_author_id {{int}} REFERENCES account_user (id),
    body            TEXT NOT NULL,
    body_folded     TEXT NOT NULL,
    restriction_type TEXT,
    group_id        {{int}} REFERENCES account_group (id),
    role_id         {{int}} REFERENCES jira_role (id),
    created_at_ms   {{int}} NOT NULL,
    updated_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX jira_comment_by_issue ON jira_comment (issue_id, created_at_ms, id);

CREATE TABLE jira_worklog (
    id              {{id}},
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    author_id       {{int}} REFERENCES account_user (id),
    update_author_id {{int}} REFERENCES account_user (id),
    comment         TEXT,
    restriction_type TEXT,
    group_id        {{int}} REFERENCES account_group (id),
    role_id         {{int}} REFERENCES jira_role (id),
    started_at_ms   {{int}} NOT NULL,
    time_spent_s    {{int}} NOT NULL,
    created_at_ms   {{int}} NOT NULL,
    updated_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX jira_worklog_by_issue ON jira_worklog (issue_id, started_at_ms, id);
CREATE INDEX jira_worklog_by_updated ON jira_worklog (updated_at_ms, id);

-- Ids of worklogs that are gone, for clients that keep a copy.
CREATE TABLE jira_deleted_worklog (
    worklog_id      {{int}} NOT NULL PRIMARY KEY,
    deleted_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX jira_deleted_worklog_by_moment ON jira_deleted_worklog (deleted_at_ms, worklog_id);

CREATE TABLE jira_watcher (
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    PRIMARY KEY (issue_id, user_id)
) {{strict}};

CREATE TABLE jira_vote (
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    PRIMARY KEY (issue_id, user_id)
) {{strict}};

CREATE TABLE jira_attachment (
    id              {{id}},
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    comment_id      {{int}} REFERENCES jira_comment (id),
    author_id       {{int}} REFERENCES account_user (id),
    file_name       TEXT NOT NULL,
    mime_type       TEXT NOT NULL,
    size_bytes      {{int}} NOT NULL,
    created_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX jira_attachment_by_issue ON jira_attachment (issue_id, id);

CREATE TABLE jira_attachment_content (
    attachment_id   {{int}} NOT NULL PRIMARY KEY REFERENCES jira_attachment (id),
    content         {{blob}} NOT NULL
) {{strict}};

-- "source blocks destination" for a type whose outward words are "blocks".
CREATE TABLE jira_issue_link (
    id              {{id}},
    type_id         {{int}} NOT NULL REFERENCES jira_link_type (id),
    source_id       {{int}} NOT NULL REFERENCES jira_issue (id),
    destination_id  {{int}} NOT NULL REFERENCES jira_issue (id),
    UNIQUE (type_id, source_id, destination_id)
) {{strict}};
CREATE INDEX jira_issue_link_by_source ON jira_issue_link (source_id);
CREATE INDEX jira_issue_link_by_destination ON jira_issue_link (destination_id);

CREATE TABLE jira_remote_link (
    id              {{id}},
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    global_id       TEXT,
    relationship    TEXT,
    application     TEXT NOT NULL,
    object          TEXT NOT NULL
) {{strict}};
CREATE UNIQUE INDEX jira_remote_link_global ON jira_remote_link (issue_id, global_id);

-- Entity properties. entity_type: issue, project, user, issuetype, comment, worklog, dashboarditem
CREATE TABLE jira_property (
    entity_type     TEXT NOT NULL,
    entity_id       {{int}} NOT NULL,
    key             TEXT NOT NULL,
    value           TEXT NOT NULL,
    PRIMARY KEY (entity_type, entity_id, key)
) {{strict}};

CREATE TABLE jira_change (
    id              {{id}},
    issue_id        {{int}} NOT NULL REFERENCES jira_issue (id),
    author_id       {{int}} REFERENCES account_user (id),
    created_at_ms   {{int}} NOT NULL
) {{strict}};
CREATE INDEX jira_change_by_issue ON jira_change (issue_id, id);

CREATE TABLE jira_change_item (
    change_id       {{int}} NOT NULL REFERENCES jira_change (id),
    position        {{int}} NOT NULL,
    field           TEXT NOT NULL,
    field_type      TEXT NOT NULL,
    field_id        TEXT NOT NULL,
    from_value      TEXT,
    from_text       TEXT,
    to_value        TEXT,
    to_text         TEXT,
    PRIMARY KEY (change_id, position)
) {{strict}};

CREATE TABLE jira_filter (
    id              {{id}},
    owner_id        {{int}} NOT NULL REFERENCES account_user (id),
    name            TEXT NOT NULL,
    name_folded     TEXT NOT NULL,
    description     TEXT NOT NULL,
    jql             TEXT NOT NULL,
    UNIQUE (owner_id, name_folded)
) {{strict}};

CREATE TABLE jira_filter_favourite (
    filter_id       {{int}} NOT NULL REFERENCES jira_filter (id),
    user_id         {{int}} NOT NULL REFERENCES account_user (id),
    PRIMARY KEY (filter_id, user_id)
) {{strict}};

-- share_type: global, authenticated, user, group, project, projectRole. rights: view or edit.
CREATE TABLE jira_filter_share (
    id              {{id}},
    filter_id       {{int}} NOT NULL REFERENCES jira_filter (id),
    share_type      TEXT NOT NULL,
    rights          TEXT NOT NULL CHECK (rights IN ('view', 'edit')),
    user_id         {{int}} REFERENCES account_user (id),
    group_id        {{int}} REFERENCES account_group (id),
    project_id      {{int}} REFERENCES jira_project (id),
    role_id         {{int}} REFERENCES jira_role (id)
) {{strict}};
CREATE INDEX jira_filter_share_by_filter ON jira_filter_share (filter_id);

-- With whom a person shares new filters: GLOBAL, AUTHENTICATED or PRIVATE. No row: PRIVATE.
CREATE TABLE jira_filter_share_scope (
    user_id         {{int}} NOT NULL PRIMARY KEY,
    scope           TEXT NOT NULL
) {{strict}};

CREATE TABLE jira_task (
    id              {{id}},
    owner_id        {{int}} NOT NULL REFERENCES account_user (id),
    description     TEXT NOT NULL,
    status          TEXT NOT NULL,
    result          TEXT,
    created_at_ms   {{int}} NOT NULL
) {{strict}};
