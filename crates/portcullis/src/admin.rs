//! `portcullis admin`: people, groups, roles, schemes, tokens, Connect apps and settings, through the same operations as everyone else's.

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand};
use http::Method;
use serde_json::{Value as Json, json};

use crate::client::{Site, Where, print, segment};
use crate::terminal::say;

/// Manage people, groups, roles, schemes, tokens, Connect apps and settings.
#[derive(ClapArgs)]
#[command(
    after_help = "Examples:\n  portcullis admin user create --email cleo@acme.example --name Cleo\n  portcullis admin group add jira-software-users 712020:0f…\n  portcullis admin role add DEMO 10002 --user 712020:0f…\n  portcullis admin call GET '/rest/api/3/project/search?query=demo'\n\nWhile the server runs it holds the database; use its management API then."
)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// People and service accounts.
    #[command(
        subcommand,
        after_help = "Examples:\n  portcullis admin user create --email cleo@acme.example --name Cleo\n  portcullis admin user revoke 712020:0f…"
    )]
    User(User),
    /// Groups and their members.
    #[command(subcommand, after_help = "Example:\n  portcullis admin group add jira-software-users 712020:0f…")]
    Group(Group),
    /// Actors of project roles.
    #[command(subcommand, after_help = "Example:\n  portcullis admin role add DEMO 10002 --user 712020:0f…")]
    Role(Role),
    /// Permission schemes and their grants.
    #[command(
        subcommand,
        after_help = "Example:\n  portcullis admin scheme grant 0 BROWSE_PROJECTS group --parameter contractors"
    )]
    Scheme(Scheme),
    /// API tokens of everyone.
    #[command(subcommand, after_help = "Example:\n  portcullis admin token list")]
    Token(Token),
    /// Connect apps.
    #[command(
        subcommand,
        after_help = "Examples:\n  portcullis admin app preview https://app.example.com/atlassian-connect.json\n  portcullis admin app install https://app.example.com/atlassian-connect.json"
    )]
    App(App),
    /// App access rules: projects that are closed to apps.
    #[command(
        subcommand,
        after_help = "Examples:\n  portcullis admin app-rule add VAULT '*'\n  portcullis admin app-rule add VAULT connect:com.example.app"
    )]
    AppRule(AppRule),
    /// Settings of the site.
    #[command(subcommand, after_help = "Example:\n  portcullis admin setting set api_tokens.days_max 30")]
    Setting(Setting),
    /// Any operation, by method and path.
    #[command(
        after_help = "Example:\n  portcullis admin call POST /rest/api/3/role --body '{\"name\": \"Reviewers\"}'"
    )]
    Call {
        /// GET, POST, PUT or DELETE.
        method: Method,
        /// Path and query.
        path: String,
        /// JSON body.
        #[arg(long)]
        body: Option<String>,
    },
}

#[derive(Subcommand)]
enum User {
    /// List accounts.
    List {
        /// Part of a name or e-mail.
        #[arg(long)]
        query: Option<String>,
    },
    /// Make an account.
    Create {
        /// E-mail address.
        #[arg(long)]
        email: String,
        /// The name people see.
        #[arg(long)]
        name: String,
        /// A service account instead of a person.
        #[arg(long)]
        service: bool,
    },
    /// End an account's access at once, with every credential.
    Deactivate {
        /// The account id.
        account_id: String,
    },
    /// Let an account in again.
    Activate {
        /// The account id.
        account_id: String,
    },
    /// Set a password, read from standard input.
    Password {
        /// The account id.
        account_id: String,
    },
    /// Remove the second factor of an account whose owner lost phone and recovery codes.
    RemoveSecondFactor {
        /// The account id.
        account_id: String,
    },
    /// Revoke every token and session of an account.
    Revoke {
        /// The account id.
        account_id: String,
    },
}

#[derive(Subcommand)]
enum Group {
    /// List groups.
    List,
    /// Make a group.
    Create {
        /// Its name.
        name: String,
    },
    /// Delete a group.
    Delete {
        /// Its name or id.
        group: String,
    },
    /// List the members of a group.
    Members {
        /// Its name or id.
        group: String,
    },
    /// Put an account into a group.
    Add {
        /// The group's name or id.
        group: String,
        /// The account id.
        account_id: String,
    },
    /// Take an account out of a group.
    Remove {
        /// The group's name or id.
        group: String,
        /// The account id.
        account_id: String,
    },
}

#[derive(Subcommand)]
enum Role {
    /// List the roles.
    List,
    /// Show a role's actors in a project.
    Show {
        /// Project key or id.
        project: String,
        /// Role id.
        role: i64,
    },
    /// Add an actor.
    Add {
        /// Project key or id.
        project: String,
        /// Role id.
        role: i64,
        /// An account id.
        #[arg(long, conflicts_with = "group", required_unless_present = "group")]
        user: Option<String>,
        /// A group's name.
        #[arg(long)]
        group: Option<String>,
    },
    /// Remove an actor.
    Remove {
        /// Project key or id.
        project: String,
        /// Role id.
        role: i64,
        /// An account id.
        #[arg(long, conflicts_with = "group", required_unless_present = "group")]
        user: Option<String>,
        /// A group's name.
        #[arg(long)]
        group: Option<String>,
    },
}

#[derive(Subcommand)]
enum Scheme {
    /// List permission schemes.
    List,
    /// Show a scheme with its grants.
    Show {
        /// Scheme id.
        scheme: i64,
    },
    /// Grant a permission.
    Grant {
        /// Scheme id.
        scheme: i64,
        /// Permission key, as in BROWSE_PROJECTS.
        permission: String,
        /// Holder type, as in projectRole, group, user, applicationRole, anyone.
        holder: String,
        /// Role id, group name, account id or application key, as the holder type asks.
        #[arg(long)]
        parameter: Option<String>,
    },
    /// Remove a grant.
    Revoke {
        /// Scheme id.
        scheme: i64,
        /// Grant id.
        grant: i64,
    },
    /// Use a scheme for a project.
    Assign {
        /// Project key or id.
        project: String,
        /// Scheme id.
        scheme: i64,
    },
}

#[derive(Subcommand)]
enum Token {
    /// List tokens.
    List,
    /// Revoke a token.
    Revoke {
        /// Token id.
        token: i64,
    },
}

#[derive(Subcommand)]
enum AppRule {
    /// List the rules.
    List,
    /// Close a project to an app, or to all.
    Add {
        /// Key or id of the project.
        project: String,
        /// connect:KEY, forge:ID, oauth:CLIENT_ID, or * for every app.
        app: String,
    },
    /// Remove a rule.
    Remove {
        /// Its id.
        id: String,
    },
}

#[derive(Subcommand)]
enum App {
    /// List installed apps.
    List,
    /// Say what an app asks for and how far it reaches, and change nothing.
    Preview {
        /// Address of its descriptor.
        descriptor_url: String,
    },
    /// Install an app, or update one, while the server runs.
    ///
    /// The app is called at once and looks up this site's key before it accepts. With PostgreSQL this command works beside the server;
    /// with SQLite the server holds the database, so use the page or the management API.
    Install {
        /// Address of its descriptor.
        descriptor_url: String,
        /// `descriptorHash` of the preview: a descriptor that has changed since is refused.
        #[arg(long)]
        hash: Option<String>,
    },
    /// Stop an app until it is enabled again.
    Disable {
        /// Its key.
        key: String,
    },
    /// Let a stopped app work again.
    Enable {
        /// Its key.
        key: String,
    },
    /// Remove an app, with its secret and what it keeps here.
    Uninstall {
        /// Its key.
        key: String,
    },
    /// What became of its webhooks.
    Deliveries {
        /// Its key.
        key: String,
    },
    /// Send a webhook again; it goes out when the server runs.
    Redeliver {
        /// The app's key.
        key: String,
        /// The delivery's number.
        delivery: i64,
    },
}

#[derive(Subcommand)]
enum Setting {
    /// List settings.
    List,
    /// Change a setting.
    Set {
        /// Its key.
        key: String,
        /// Its value, as JSON.
        value: String,
    },
}

type Columns = &'static [(&'static str, &'static str)];

const API: &str = "/api/portcullis/v1";

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let site = args.place.open().await?;
    let (method, path, body, columns) = request(&site, args.what).await?;
    let answer = site.call(method, &path, body).await?;
    match answer {
        Json::Null if args.place.json => Ok(()),
        Json::Null => say("Done."),
        answer => print(&answer, args.place.json, columns),
    }
}

async fn request(site: &Site, what: What) -> anyhow::Result<(Method, String, Option<Json>, Columns)> {
    const USERS: Columns = &[
        ("ACCOUNT ID", "accountId"),
        ("NAME", "displayName"),
        ("E-MAIL", "emailAddress"),
        ("ACTIVE", "active"),
        ("KIND", "kind"),
    ];
    const TOKENS: Columns = &[
        ("ID", "id"),
        ("ACCOUNT ID", "accountId"),
        ("LABEL", "label"),
        ("EXPIRES", "expires"),
        ("LAST USED", "lastUsed"),
    ];
    const APPS: Columns = &[("KEY", "key"), ("NAME", "name"), ("ENABLED", "enabled"), ("WHERE IT IS", "baseUrl")];
    const RULES: Columns = &[("ID", "id"), ("CLOSED TO", "app"), ("SINCE", "created")];
    const DELIVERIES: Columns = &[
        ("ID", "id"),
        ("EVENT", "event"),
        ("STATUS", "status"),
        ("ATTEMPTS", "attempts"),
        ("CREATED", "created"),
        ("NOTE", "note"),
    ];
    let app = |key: &str, rest: &str| format!("{API}/connect-apps/{}{rest}", segment(key));
    Ok(match what {
        What::AppRule(AppRule::List) => (Method::GET, format!("{API}/app-access-rules"), None, RULES),
        What::AppRule(AppRule::Add { project, app }) => {
            (Method::POST, format!("{API}/app-access-rules"), Some(json!({"project": project, "app": app})), RULES)
        }
        What::AppRule(AppRule::Remove { id }) => {
            (Method::DELETE, format!("{API}/app-access-rules/{}", segment(&id)), None, &[])
        }
        What::App(App::List) => (Method::GET, format!("{API}/connect-apps"), None, APPS),
        What::App(App::Preview { descriptor_url }) => {
            let body = json!({"descriptorUrl": descriptor_url});
            (Method::POST, format!("{API}/connect-apps/preview"), Some(body), &[])
        }
        What::App(App::Install { descriptor_url, hash }) => {
            let body = json!({"descriptorUrl": descriptor_url, "descriptorHash": hash});
            (Method::POST, format!("{API}/connect-apps"), Some(body), APPS)
        }
        What::App(App::Disable { key }) => (Method::POST, app(&key, "/disable"), None, &[]),
        What::App(App::Enable { key }) => (Method::POST, app(&key, "/enable"), None, &[]),
        What::App(App::Uninstall { key }) => (Method::DELETE, app(&key, ""), None, &[]),
        What::App(App::Deliveries { key }) => (Method::GET, app(&key, "/deliveries"), None, DELIVERIES),
        What::App(App::Redeliver { key, delivery }) => {
            (Method::POST, app(&key, &format!("/deliveries/{delivery}/redeliver")), None, &[])
        }
        What::User(User::List { query }) => {
            let query = query.map(|query| format!("?query={}", segment(&query))).unwrap_or_default();
            (Method::GET, format!("{API}/users{query}"), None, USERS)
        }
        What::User(User::Create { email, name, service }) => {
            let kind = if service { "service" } else { "person" };
            let body = json!({"emailAddress": email, "displayName": name, "kind": kind});
            (Method::POST, format!("{API}/users"), Some(body), USERS)
        }
        What::User(User::Deactivate { account_id }) => {
            (Method::POST, format!("{API}/users/{}/deactivate", segment(&account_id)), None, USERS)
        }
        What::User(User::Activate { account_id }) => {
            (Method::POST, format!("{API}/users/{}/activate", segment(&account_id)), None, USERS)
        }
        What::User(User::Password { account_id }) => {
            let mut password = String::new();
            std::io::stdin().read_line(&mut password)?;
            let body = json!({"password": password.trim_end_matches(['\r', '\n'])});
            (Method::PUT, format!("{API}/users/{}/password", segment(&account_id)), Some(body), &[])
        }
        What::User(User::RemoveSecondFactor { account_id }) => {
            (Method::DELETE, format!("{API}/users/{}/second-factor", segment(&account_id)), None, &[])
        }
        What::User(User::Revoke { account_id }) => {
            (Method::DELETE, format!("{API}/users/{}/credentials", segment(&account_id)), None, &[])
        }
        What::Group(Group::List) => {
            (Method::GET, format!("{API}/groups"), None, &[("GROUP ID", "groupId"), ("NAME", "name")])
        }
        What::Group(Group::Create { name }) => (
            Method::POST,
            format!("{API}/groups"),
            Some(json!({"name": name})),
            &[("GROUP ID", "groupId"), ("NAME", "name")],
        ),
        What::Group(Group::Delete { group }) => {
            let id = group_id(site, &group).await?;
            (Method::DELETE, format!("{API}/groups/{id}"), None, &[])
        }
        What::Group(Group::Members { group }) => {
            let id = group_id(site, &group).await?;
            (Method::GET, format!("{API}/groups/{id}/members"), None, USERS)
        }
        What::Group(Group::Add { group, account_id }) => {
            let id = group_id(site, &group).await?;
            (Method::PUT, format!("{API}/groups/{id}/members/{}", segment(&account_id)), None, &[])
        }
        What::Group(Group::Remove { group, account_id }) => {
            let id = group_id(site, &group).await?;
            (Method::DELETE, format!("{API}/groups/{id}/members/{}", segment(&account_id)), None, &[])
        }
        What::Role(Role::List) => (
            Method::GET,
            "/rest/api/3/role".to_owned(),
            None,
            &[("ID", "id"), ("NAME", "name"), ("DESCRIPTION", "description")],
        ),
        What::Role(Role::Show { project, role }) => {
            (Method::GET, format!("/rest/api/3/project/{}/role/{role}", segment(&project)), None, &[])
        }
        What::Role(Role::Add { project, role, user, group }) => {
            let body = match (user, group) {
                (Some(user), _) => json!({"user": [user]}),
                (None, group) => json!({"group": [group]}),
            };
            (Method::POST, format!("/rest/api/3/project/{}/role/{role}", segment(&project)), Some(body), &[])
        }
        What::Role(Role::Remove { project, role, user, group }) => {
            let actor = match (user, group) {
                (Some(user), _) => format!("user={}", segment(&user)),
                (None, group) => format!("group={}", segment(&group.unwrap_or_default())),
            };
            (Method::DELETE, format!("/rest/api/3/project/{}/role/{role}?{actor}", segment(&project)), None, &[])
        }
        What::Scheme(Scheme::List) => {
            (Method::GET, "/rest/api/3/permissionscheme".to_owned(), None, &[("ID", "id"), ("NAME", "name")])
        }
        What::Scheme(Scheme::Show { scheme }) => {
            (Method::GET, format!("/rest/api/3/permissionscheme/{scheme}?expand=permissions"), None, &[])
        }
        What::Scheme(Scheme::Grant { scheme, permission, holder, parameter }) => {
            let mut body = json!({"permission": permission, "holder": {"type": holder}});
            if let (Some(parameter), Some(holder)) =
                (parameter, body.pointer_mut("/holder").and_then(Json::as_object_mut))
            {
                holder.insert("parameter".to_owned(), parameter.into());
            }
            (Method::POST, format!("/rest/api/3/permissionscheme/{scheme}/permission"), Some(body), &[])
        }
        What::Scheme(Scheme::Revoke { scheme, grant }) => {
            (Method::DELETE, format!("/rest/api/3/permissionscheme/{scheme}/permission/{grant}"), None, &[])
        }
        What::Scheme(Scheme::Assign { project, scheme }) => {
            let path = format!("/rest/api/3/project/{}/permissionscheme", segment(&project));
            (Method::PUT, path, Some(json!({"id": scheme})), &[])
        }
        What::Token(Token::List) => (Method::GET, format!("{API}/api-tokens"), None, TOKENS),
        What::Token(Token::Revoke { token }) => (Method::DELETE, format!("{API}/api-tokens/{token}"), None, &[]),
        What::Setting(Setting::List) => {
            (Method::GET, format!("{API}/settings"), None, &[("KEY", "key"), ("VALUE", "value")])
        }
        What::Setting(Setting::Set { key, value }) => {
            let value: Json = serde_json::from_str(&value).unwrap_or(Json::String(value));
            (Method::PUT, format!("{API}/settings/{}", segment(&key)), Some(json!({"value": value})), &[])
        }
        What::Call { method, path, body } => {
            let body = body.map(|text| serde_json::from_str(&text)).transpose().context("--body is not JSON")?;
            (method, path, body, &[])
        }
    })
}

/// A group's id, given its name or id.
async fn group_id(site: &Site, name: &str) -> anyhow::Result<String> {
    let answer = site.call(Method::GET, &format!("{API}/groups?maxResults=1000"), None).await?;
    let groups = answer.get("values").and_then(Json::as_array).cloned().unwrap_or_default();
    let found = groups.iter().find(|group| {
        group.get("name").and_then(Json::as_str) == Some(name)
            || group.get("groupId").and_then(Json::as_str) == Some(name)
    });
    found
        .and_then(|group| group.get("groupId").and_then(Json::as_str))
        .map(str::to_owned)
        .ok_or_else(|| anyhow::anyhow!("there is no group `{name}`"))
}
