//! `operations.toml`, read and checked.

use crate::expr::{self, Expr, Thing};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The whole table, every cell checked.
pub struct Table {
    pub rows: Vec<Row>,
    /// Every scope that a row or `extra_scopes` names, sorted.
    pub scopes: Vec<String>,
}

/// One operation; enum cells hold the name of the variant in `authz::row` or `model`.
pub struct Row {
    pub id: String,
    /// The id in UpperCamel: the name of its type.
    pub type_name: String,
    pub method: &'static str,
    pub path: String,
    pub area: &'static str,
    pub mode: &'static str,
    pub anonymous: bool,
    pub access: Vec<&'static str>,
    pub classic: Option<Vec<String>>,
    pub granular: Option<Vec<String>>,
    /// Variant of `ConnectScope`; `None`: inaccessible.
    pub connect: Option<&'static str>,
    pub rule_exempt: bool,
    pub fresh: bool,
    pub without_second_factor: bool,
    pub permission: Expr,
    pub locate: Locate,
    pub deny: Option<u16>,
    pub hide: bool,
    pub source: Source,
    pub open: Option<String>,
}

pub enum Source {
    Text,
    Inferred,
    Unclear(String),
    Ours,
}

/// How the target is found: a variant of `authz::row::Locate` with its path parameters.
pub enum Locate {
    Plain(&'static str),
    Param(&'static str, String),
    OnIssue(String, Thing, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    extra_scopes: Vec<String>,
    operation: Vec<Cells>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cells {
    id: String,
    method: String,
    path: String,
    #[serde(default = "jira")]
    area: String,
    #[serde(rename = "group")]
    _group: String,
    #[serde(rename = "stage")]
    _stage: Option<String>,
    mode: String,
    #[serde(default = "nothing")]
    locate: String,
    permission: String,
    #[serde(rename = "filter")]
    _filter: Option<String>,
    classic: Option<Vec<String>>,
    granular: Option<Vec<String>>,
    #[serde(default = "inaccessible")]
    connect: String,
    deny: Option<u16>,
    #[serde(default)]
    hide: bool,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    rule_exempt: bool,
    #[serde(default)]
    fresh: bool,
    #[serde(default)]
    without_second_factor: bool,
    access: Option<Vec<String>>,
    source: String,
    reason: Option<String>,
    open: Option<String>,
}

fn jira() -> String {
    "jira".to_owned()
}

fn nothing() -> String {
    "nothing".to_owned()
}

fn inaccessible() -> String {
    "INACCESSIBLE".to_owned()
}

impl Table {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    pub fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text)?;
        let rows: Vec<Row> = file
            .operation
            .into_iter()
            .map(|cells| {
                let id = cells.id.clone();
                Row::read(cells).with_context(|| format!("operation `{id}`"))
            })
            .collect::<Result<_>>()?;
        unique(&rows, "type", |row| row.type_name.clone())?;
        unique(&rows, "method and path", |row| format!("{} {}", row.method, without_names(&row.path)))?;
        let named = rows.iter().flat_map(|row| [&row.classic, &row.granular]).flatten().flatten();
        let scopes: BTreeSet<String> = named.cloned().chain(file.extra_scopes).collect();
        Ok(Self { rows, scopes: scopes.into_iter().collect() })
    }

    /// The rows that nobody has to prove anything for, as they stand in `open-operations.txt`.
    pub fn open_lines(&self) -> Vec<String> {
        let open = self.rows.iter().filter(|row| row.open.is_some());
        open.map(|row| format!("{} {} {}", row.id, row.method.to_uppercase(), row.path)).collect()
    }
}

impl Row {
    fn read(cells: Cells) -> Result<Self> {
        let method = one_of(&cells.method, METHODS, "a method")?;
        let area = one_of(&cells.area, AREAS, "an area")?;
        let mode = one_of(&cells.mode, MODES, "a mode")?;
        ensure!(method != "Get" || mode == "Read", "a GET does not write");
        let connect = match cells.connect.as_str() {
            "INACCESSIBLE" => None,
            scope => Some(one_of(scope, CONNECT, "a Connect scope")?),
        };
        let locate =
            Locate::parse(&cells.locate, &cells.path).with_context(|| format!("locate = `{}`", cells.locate))?;
        let permission = Expr::parse(&cells.permission).context("permission")?;
        permission.check().context("permission")?;
        locate.check_finds(&permission)?;
        let source = match (cells.source.as_str(), cells.reason) {
            ("text", None) => Source::Text,
            ("inferred", None) => Source::Inferred,
            ("ours", None) => Source::Ours,
            ("unclear", Some(reason)) => Source::Unclear(reason),
            ("unclear", None) => bail!("source `unclear` needs a reason"),
            (source, _) => bail!("source `{source}` is not text, inferred, ours, or unclear with a reason"),
        };
        if let Source::Unclear(_) = source {
            ensure!(cells.permission == "ADMINISTER", "an unclear permission asks for ADMINISTER");
        }
        ensure!((area == "Jira") != matches!(source, Source::Ours), "source `ours` is for areas other than jira");
        ensure!(
            !cells.fresh || (method != "Get" && cells.permission != "none"),
            "only what changes something for a known person asks for a fresh proof"
        );
        if cells.open.is_some() {
            ensure!(
                cells.permission == "none" && cells.anonymous,
                "an open operation asks for nothing and is anonymous"
            );
        }
        let scoped = cells.classic.is_some() || cells.granular.is_some();
        let access = match &cells.access {
            Some(words) => words.iter().map(|word| one_of(word, ACCESS, "a kind of access")).collect::<Result<_>>()?,
            None => usual_access(area, cells.anonymous, scoped, connect.is_some()),
        };
        ensure!(access.contains(&"Anonymous") == cells.anonymous, "access and anonymous contradict each other");
        Ok(Self {
            type_name: upper_camel(&cells.id)?,
            id: cells.id,
            method,
            path: cells.path,
            area,
            mode,
            anonymous: cells.anonymous,
            access,
            classic: cells.classic,
            granular: cells.granular,
            connect,
            rule_exempt: cells.rule_exempt,
            fresh: cells.fresh,
            without_second_factor: cells.without_second_factor,
            permission,
            locate,
            deny: cells.deny,
            hide: cells.hide,
            source,
            open: cells.open,
        })
    }
}

/// The kinds of credential of a row that does not list them.
fn usual_access(area: &str, anonymous: bool, scoped: bool, connect: bool) -> Vec<&'static str> {
    let kinds = [
        ("Anonymous", anonymous),
        ("ApiToken", area != "Console"),
        ("ScopedApiToken", scoped),
        ("Session", true),
        ("OAuth", scoped),
        ("Connect", connect),
        ("Forge", scoped),
    ];
    kinds.into_iter().filter(|(_, accepted)| *accepted).map(|(kind, _)| kind).collect()
}

impl Locate {
    fn parse(text: &str, path: &str) -> Result<Self> {
        let (word, arguments) = match text.split_once('(') {
            None => (text, Vec::new()),
            Some((word, rest)) => {
                let inside = rest.strip_suffix(')').context("`)` is missing")?;
                (word, inside.split(',').map(str::trim).collect())
            }
        };
        let in_path = |name: &str| -> Result<String> {
            ensure!(path.contains(&format!("{{{name}}}")), "the path has no `{{{name}}}`");
            Ok(name.to_owned())
        };
        match arguments.as_slice() {
            [] => Ok(Locate::Plain(one_of(word, LOCATE_PLAIN, "a way to locate")?)),
            [name] => {
                Ok(Locate::Param(one_of(word, LOCATE_PARAM, "a way to locate by one parameter")?, in_path(name)?))
            }
            [issue, thing, name] if word == "on_issue" => {
                Ok(Locate::OnIssue(in_path(issue)?, expr::thing(thing)?, in_path(name)?))
            }
            _ => bail!("`{word}` does not take {} arguments", arguments.len()),
        }
    }

    /// The value of `authz::row::Locate`.
    pub fn code(&self) -> String {
        match self {
            Locate::Plain(variant) => format!("Locate::{variant}"),
            Locate::Param(variant, name) => format!("Locate::{variant}({name:?})"),
            Locate::OnIssue(issue, thing, name) => format!("Locate::OnIssue({issue:?}, Thing::{thing}, {name:?})"),
        }
    }

    /// The facts that it finds out, by the names of `Expr::needs`.
    fn finds(&self) -> Vec<&'static str> {
        match self {
            Locate::OnIssue(_, thing, _) => vec!["Issue", thing],
            Locate::Plain(variant) | Locate::Param(variant, _) => match *variant {
                "Project" => vec!["Project", "CompanyManaged", "TeamManaged"],
                "ProjectUpdate" => {
                    vec!["Project", "CompanyManaged", "TeamManaged", "ChangesKeyOrScheme", "KeepsKeyAndSchemes"]
                }
                "Version" | "Component" | "BodyCreateIssue" | "BodyVersion" | "BodyComponent" => vec!["Project"],
                "QueryProject" => vec!["Project", "ProjectOrIssueGiven"],
                "BodyCreateIssues" => vec!["EachProject"],
                "UsedEverywhere" => vec!["AnyProjectUsing"],
                "Issue" => vec!["Issue"],
                "IssueAndUser" => vec!["Issue", "TargetUserIsCaller"],
                "CommentById" => vec!["Issue", "Comment"],
                "Attachment" => vec!["Issue", "Attachment", "AttachmentComment"],
                "IssueLink" => vec!["Issue", "OtherIssue", "BothIssues"],
                "BodyIssueLink" => vec!["Issue", "OtherIssue", "BothIssues", "Comment"],
                "Filter" => vec!["Filter"],
                "User" => vec!["TargetUserIsCaller", "AccountIsCaller"],
                _ => vec![],
            },
        }
    }

    /// A rule asks only for what is found, or the row says `not_located` and lives with the refusal.
    fn check_finds(&self, permission: &Expr) -> Result<()> {
        let mut needs = Vec::new();
        permission.needs(&mut needs);
        if matches!(self, Locate::Plain("NotLocated")) {
            ensure!(!needs.is_empty(), "`not_located`, but the permission asks for no fact");
            return Ok(());
        }
        let finds = self.finds();
        match needs.iter().find(|need| !finds.contains(&need.as_str())) {
            None => Ok(()),
            Some(need) => {
                bail!("the permission asks for {need}, which `locate` does not find; say `not_located` if so")
            }
        }
    }
}

type Words = &'static [(&'static str, &'static str)];

const METHODS: Words = &[("GET", "Get"), ("POST", "Post"), ("PUT", "Put"), ("DELETE", "Delete")];

const MODES: Words = &[("read", "Read"), ("write", "Write"), ("policy", "Policy")];

const AREAS: Words = &[
    ("jira", "Jira"),
    ("site", "Site"),
    ("authorization", "Authorization"),
    ("gateway", "Gateway"),
    ("management", "Management"),
    ("console", "Console"),
    ("operations", "Operations"),
];

const ACCESS: Words = &[
    ("anonymous", "Anonymous"),
    ("api_token", "ApiToken"),
    ("scoped_api_token", "ScopedApiToken"),
    ("session", "Session"),
    ("oauth", "OAuth"),
    ("connect", "Connect"),
    ("forge", "Forge"),
];

const CONNECT: Words = &[
    ("NONE", "None"),
    ("READ", "Read"),
    ("WRITE", "Write"),
    ("DELETE", "Delete"),
    ("PROJECT_ADMIN", "ProjectAdmin"),
    ("ADMIN", "Admin"),
    ("ACT_AS_USER", "ActAsUser"),
    ("ACCESS_EMAIL_ADDRESSES", "AccessEmailAddresses"),
];

const LOCATE_PLAIN: Words = &[
    ("nothing", "Nothing"),
    ("query_project", "QueryProject"),
    ("body_create_issue", "BodyCreateIssue"),
    ("body_create_issues", "BodyCreateIssues"),
    ("body_issue_link", "BodyIssueLink"),
    ("body_version", "BodyVersion"),
    ("body_component", "BodyComponent"),
    ("user", "User"),
    ("not_located", "NotLocated"),
    ("used_everywhere", "UsedEverywhere"),
];

const LOCATE_PARAM: Words = &[
    ("project", "Project"),
    ("project_update", "ProjectUpdate"),
    ("issue", "Issue"),
    ("issue_and_user", "IssueAndUser"),
    ("attachment", "Attachment"),
    ("version", "Version"),
    ("component", "Component"),
    ("issue_link", "IssueLink"),
    ("filter", "Filter"),
    ("comment_by_id", "CommentById"),
];

fn one_of(word: &str, words: Words, what: &str) -> Result<&'static str> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, variant)| *variant).ok_or_else(|| anyhow!("`{word}` is not {what}"))
}

fn unique(rows: &[Row], what: &str, key: impl Fn(&Row) -> String) -> Result<()> {
    let mut seen = BTreeMap::new();
    for row in rows {
        if let Some(first) = seen.insert(key(row), &row.id) {
            bail!("`{first}` and `{}` have the same {what}", row.id);
        }
    }
    Ok(())
}

/// `/project/{projectIdOrKey}` and `/project/{projectId}` are one route.
fn without_names(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// `AddonPropertiesResource.getAddonProperty_get` -> `AddonPropertiesResourceGetAddonPropertyGet`.
fn upper_camel(id: &str) -> Result<String> {
    let mut name = String::new();
    for part in id.split(['.', '_']) {
        let mut letters = part.chars();
        let first = letters.next().filter(char::is_ascii_alphabetic).context("id is not made of words")?;
        name.push(first.to_ascii_uppercase());
        name.push_str(letters.as_str());
    }
    ensure!(
        name.chars().all(|letter| letter.is_ascii_alphanumeric()),
        "id holds something other than letters and digits"
    );
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(cells: &str) -> Result<Table> {
        Table::parse(&format!(
            "extra_scopes = []\n[[operation]]\nid = \"x\"\npath = \"/rest/api/3/project/{{key}}\"\ngroup = \"X\"\n{cells}"
        ))
    }

    fn error(cells: &str) -> String {
        let error = table(cells).err().expect("refused");
        format!("{error:#}")
    }

    #[test]
    fn access_follows_from_the_other_cells() {
        let table =
            table("method='GET'\nmode='read'\npermission='none'\nclassic=[]\nconnect='READ'\nsource='text'").unwrap();
        assert_eq!(table.rows[0].access, ["ApiToken", "ScopedApiToken", "Session", "OAuth", "Connect", "Forge"]);
    }

    #[test]
    fn rule_asks_only_for_what_is_located() {
        let row = "method='GET'\nmode='read'\nsource='text'\npermission='BROWSE_PROJECTS(project)'";
        assert!(error(row).contains("asks for Project, which `locate` does not find"));
        table(&format!("{row}\nlocate='project(key)'")).unwrap();
        table(&format!("{row}\nlocate='not_located'")).unwrap();
        assert!(error(&format!("{row}\nlocate='project(id)'")).contains("the path has no `{id}`"));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(error("method='GET'\nmode='write'\npermission='none'\nsource='text'").contains("a GET does not write"));
        assert!(error("method='GET'\nmode='read'\npermission='none'\nsource='ours'").contains("other than jira"));
        assert!(error("method='GET'\nmode='read'\npermission='none'\nsource='unclear'").contains("needs a reason"));
        assert!(error("method='GET'\nmode='read'\npermission='none'\nsource='text'\ncolour='red'").contains("colour"));
        assert!(
            error("method='GET'\nmode='read'\npermission='account'\nsource='ours'\narea='site'\nopen='x'")
                .contains("asks for nothing")
        );
    }
}
