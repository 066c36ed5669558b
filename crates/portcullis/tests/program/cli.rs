//! Commands: what they print, refuse and leave behind.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use portcullis_store::{AuditEntry, Store, StoreConfig};
use serde_json::json;

use crate::run::{Done, Folder, portcullis, unread};

const COMMANDS: [&str; 12] = [
    "demo",
    "serve",
    "init",
    "migrate",
    "check",
    "doctor",
    "explain",
    "backup",
    "restore",
    "audit",
    "admin",
    "completions",
];

/// A site made by `init`, with the administrator Ada.
struct Site {
    folder: Folder,
    config: String,
}

impl Site {
    fn new() -> Self {
        let folder = Folder::new();
        let config = folder.path("portcullis.toml").to_str().unwrap().to_owned();
        let password = folder.write("password", "correct horse battery\n");
        let password = password.to_str().unwrap();
        let ada = ["--email", "ada@acme.example", "--name", "Ada", "--site", "Acme", "--password-file", password];
        let out = portcullis(&[&["init", "--config", &config, "--listen", "127.0.0.1:0"], &ada[..]].concat()).ok();
        assert!(out.starts_with("Made the site \"Acme\" with the administrator ada@acme.example.\n"), "{out}");
        assert!(!out.contains("Password"), "{out}");
        Self { folder, config }
    }

    fn run(&self, arguments: &[&str]) -> Done {
        portcullis(&[arguments, &["--config", &self.config]].concat())
    }

    /// Makes a person and gives the account id.
    fn person(&self, email: &str, name: &str) -> String {
        let made = self.run(&["admin", "user", "create", "--email", email, "--name", name, "--json"]).json();
        assert_eq!(made["emailAddress"], email);
        made["accountId"].as_str().unwrap().to_owned()
    }

    fn database(&self) -> PathBuf {
        self.folder.path("data/portcullis.db")
    }
}

/// Makes the database one of a program that is newer than this one.
fn age_of_tomorrow(path: PathBuf) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&StoreConfig::Sqlite { path }).await.unwrap();
        let mut tx = store.write().await.unwrap();
        let sql = "INSERT INTO store_migration (version, name, applied_at_ms) VALUES (9999, 'tomorrow', 0)";
        tx.execute(sql, &[]).await.unwrap();
        let entry = AuditEntry { id: "tomorrow".to_owned(), ..AuditEntry::default() };
        tx.commit(&entry).await.unwrap();
    });
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in COMMANDS {
        let help = portcullis(&[command, "--help"]).ok();
        let example = help.split("Example").nth(1).unwrap_or_else(|| panic!("no example: {help}"));
        assert!(example.contains(&format!("portcullis {command}")), "{help}");
    }
    for subject in ["user", "group", "role", "scheme", "token", "setting", "call"] {
        let help = portcullis(&["admin", subject, "--help"]).ok();
        assert!(help.contains(&format!("\n  portcullis admin {subject} ")), "{help}");
    }
    let help = portcullis(&["--help"]).ok();
    for command in COMMANDS {
        assert!(help.contains(&format!("  {command} ")), "{help}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["demo", "--listen", "nowhere"],
        &["serve", "--port", "1"],
        &["init"],
        &["explain"],
        &["explain", "--account", "712020:0"],
        &["admin", "role", "add", "DEMO", "10002"],
        &["admin", "scheme", "show", "none"],
        &["restore"],
        &["completions", "tcsh"],
    ] {
        let done = portcullis(arguments);
        assert_eq!(done.status, 2, "{arguments:?}: {done:?}");
        assert_eq!(done.out, "", "{arguments:?}");
        assert!(done.err.contains("--help"), "{arguments:?}: {done:?}");
    }
}

#[test]
fn completions_know_the_commands() {
    let script = portcullis(&["completions", "bash"]).ok();
    for command in COMMANDS {
        assert!(script.contains(&format!("portcullis__subcmd__{command}")), "{command}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let done = unread(&["completions", "zsh"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
}

#[test]
fn new_site_is_found_well() {
    let site = Site::new();

    let check = site.run(&["check", "--json"]).json();
    let database = format!("SQLite in `{}`", site.database().display());
    assert_eq!(check["database"], database);
    assert_eq!((&check["listen"], &check["emulatorControls"]), (&json!("127.0.0.1:0"), &json!(false)));
    assert!(site.run(&["check"]).ok().contains(&database));
    assert_eq!(site.run(&["migrate"]).ok(), "The database has this program's schema.\n");

    let doctor = site.run(&["doctor"]).ok();
    assert!(doctor.lines().count() >= 6 && doctor.lines().all(|line| line.starts_with("ok ")), "{doctor}");
    for private in ["portcullis.toml", "keys/sealing.key", "data/portcullis.db"] {
        let mode = fs::metadata(site.folder.path(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
    }
}

#[test]
fn doctor_says_what_to_mend() {
    let site = Site::new();
    let text = fs::read_to_string(&site.config).unwrap();
    fs::write(&site.config, format!("{text}\n[danger]\nemulator_controls = true\n")).unwrap();
    fs::remove_file(site.database()).unwrap();

    let done = site.run(&["doctor"]);
    assert!(done.out.contains("BAD  there is no database at"), "{done:?}");
    assert!(done.out.contains("BAD  the emulator controls are on\n     remove emulator_controls"), "{done:?}");
    assert_eq!(done.refused(), "2 things to mend");
    assert!(!site.database().exists(), "looking makes nothing");

    let done = site.run(&["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let bad = findings["findings"].as_array().unwrap().iter().filter(|finding| finding["ok"] == false);
    assert_eq!((bad.count(), done.status), (2, 1));
}

#[test]
fn second_init_refuses_and_changes_nothing() {
    let site = Site::new();
    let before = site.folder.files();
    let line = site.run(&["init", "--email", "eve@acme.example"]).refused();
    assert_eq!(line, format!("`{}` exists already; nothing was changed", site.config));
    assert!(site.folder.files() == before);

    let other = site.folder.path("other.toml");
    let line = portcullis(&["init", "--config", other.to_str().unwrap(), "--email", "eve@acme.example"]).refused();
    assert_eq!(line, "there is a site in this database already; nothing was changed");
    assert!(!other.exists());
    assert!(!site.run(&["admin", "user", "list"]).ok().contains("eve"));
}

#[test]
fn failed_init_can_be_given_again() {
    let folder = Folder::new();
    let config = folder.path("portcullis.toml").to_str().unwrap().to_owned();
    let short = folder.write("password", "short\n");
    let init = |more: &[&str]| portcullis(&[&["init", "--config", &config, "--email"], more].concat());

    let line = init(&["ada@acme.example", "--password-file", short.to_str().unwrap()]).refused();
    assert_eq!(line, "password: a password needs at least 8 characters.");
    assert_eq!(init(&["ada"]).refused(), "emailAddress: This is not an e-mail address.");
    assert!(init(&["ada@acme.example", "--base-url", "acme"]).refused().contains("`base_url` must be"));
    assert!(!folder.path("portcullis.toml").exists());

    let out = init(&["ada@acme.example"]).ok();
    assert!(out.contains("Password, shown once: "), "{out}");
}

#[test]
fn operator_manages_people_groups_roles_schemes_and_settings() {
    let site = Site::new();
    let ben = site.person("ben@acme.example", "Ben");

    let list = site.run(&["admin", "user", "list"]).ok();
    let ben_line = list.lines().find(|line| line.contains(&ben)).unwrap();
    assert!(ben_line.contains("ben@acme.example") && ben_line.contains("Ben"), "{list}");
    assert_eq!(site.run(&["admin", "user", "list", "--query", "ben", "--json"]).json()["total"], 1);
    assert_eq!(site.run(&["admin", "group", "add", "jira-software-users", &ben]).ok(), "Done.\n");
    assert!(site.run(&["admin", "group", "members", "jira-software-users"]).ok().contains(&ben));
    assert!(site.run(&["admin", "role", "list"]).ok().contains("10002  Administrators"));
    assert_eq!(site.run(&["admin", "scheme", "list"]).ok(), "ID  NAME\n0   Default Permission Scheme\n");
    let schemes = site.run(&["admin", "scheme", "list", "--json"]).json();
    assert_eq!(schemes["permissionSchemes"][0]["id"], 0);
    assert!(site.run(&["admin", "scheme", "show", "0"]).json()["permissions"].as_array().unwrap().len() > 20);
    let changed = site.run(&["admin", "setting", "set", "api_tokens.days_max", "30"]).json();
    assert_eq!(changed["value"], 30);
    let settings = site.run(&["admin", "setting", "list"]).ok();
    let days = settings.lines().find(|line| line.starts_with("api_tokens.days_max")).unwrap();
    assert!(days.ends_with(" 30"), "{settings}");

    let project = json!({"key": "DEMO", "name": "Demo", "projectTypeKey": "software", "leadAccountId": ben});
    let made = site.run(&["admin", "call", "POST", "/rest/api/3/project", "--body", &project.to_string()]).json();
    assert_eq!(made["key"], "DEMO");
    let cleo = site.person("cleo@acme.example", "Cleo");
    let asked = ["explain", "--account", &cleo, "--permission", "ADMINISTER_PROJECTS", "--project", "DEMO"];
    let before = site.run(&asked).ok();
    assert!(before.starts_with("Cleo does not hold ADMINISTER_PROJECTS on DEMO.\nSmallest change: "), "{before}");
    site.run(&["admin", "role", "add", "DEMO", "10002", "--user", &cleo]).json();
    assert!(site.run(&asked).ok().starts_with("Cleo holds ADMINISTER_PROJECTS on DEMO.\n"));
    assert_eq!(site.run(&[&asked[..], &["--json"]].concat()).json()["holds"], true);

    let audit = site.run(&["audit", "--json"]).json();
    let entries: Vec<(&str, &str)> = audit["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["subject"].as_str().unwrap(), entry["operation"].as_str().unwrap()))
        .collect();
    let operator = "operator:tester";
    assert_eq!(
        entries,
        [
            (operator, "addActorUsers"),
            (operator, "manageCreateUser"),
            (operator, "createProject"),
            (operator, "manageChangeSetting"),
            (operator, "manageAddGroupMember"),
            (operator, "manageCreateUser"),
            ("system:install_key", "install_key"),
            ("system:signing_key", "signing_key"),
            ("operator:init", "init"),
        ]
    );
    let table = site.run(&["audit", "--limit", "2"]).ok();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.lines().nth(1).unwrap().contains("operator:tester  operator  addActorUsers"), "{table}");
}

#[test]
fn refused_operation_says_why_in_one_line() {
    let site = Site::new();
    let cases: [(&[&str], &str); 10] = [
        (
            &["admin", "user", "create", "--email", "x", "--name", "X"],
            "emailAddress: This is not an e-mail address. (400)",
        ),
        (&["admin", "group", "add", "nosuch", "712020:0"], "there is no group `nosuch`"),
        (&["admin", "role", "show", "NOPE", "10002"], "No project could be found with key 'NOPE'. (404)"),
        (&["admin", "scheme", "show", "99"], "Permission scheme with ID 99 does not exist. (404)"),
        (&["admin", "scheme", "assign", "NOPE", "0"], "No project could be found with key 'NOPE'. (404)"),
        (&["admin", "setting", "set", "nosuch", "1"], "There is no setting with this key. (404)"),
        (&["admin", "call", "GET", "/nowhere"], "No operation GET /nowhere. (404)"),
        (
            &["admin", "call", "GET", "/rest/api/3/issue/NOPE-1"],
            "Issue does not exist or you do not have permission to see it. (404)",
        ),
        (&["explain", "--account", "x", "--permission", "ADMINISTER"], "There is no account with this id. (404)"),
        (&["explain", "--decision", "x"], "There is no decision with this id that you may see. (404)"),
    ];
    for (arguments, line) in cases {
        let done = site.run(arguments);
        assert_eq!(done.out, "", "{arguments:?}");
        assert_eq!(done.refused(), line, "{arguments:?}");
    }
    let line = site.run(&["admin", "call", "POST", "/rest/api/3/role", "--body", "{"]).refused();
    assert!(line.starts_with("--body is not JSON: "), "{line}");
}

#[test]
fn mistake_in_the_configuration_is_named() {
    let site = Site::new();
    let good = fs::read_to_string(&site.config).unwrap();
    let cases = [
        (format!("colour = 1\n{good}"), ", line 1: unknown field `colour`, expected one of `listen`,"),
        (
            format!("{good}[limits]\nbody_max = 3\n"),
            "line 8: unknown field `body_max`, expected one of `body_bytes_max`,",
        ),
        (format!("{good}[limits]\nrequest_ms_max = 0\n"), "[limits] must be larger than 0"),
        (good.replace("listen = \"127.0.0.1:0\"\n", ""), "missing field `listen`"),
        (good.replace("\"127.0.0.1:0\"", "\"here\""), "line 1: invalid socket address syntax"),
        (good.replace("base_url = \"http", "base_url = \"ftp"), "`base_url` must be http:// or https://"),
        (
            good.replace("[database]\n", "[database]\npostgres_url_file = \"x\"\n"),
            "either `sqlite` or `postgres_url_file`",
        ),
        (format!("{good}\""), "line 7: "),
    ];
    for (text, words) in cases {
        fs::write(&site.config, &text).unwrap();
        let line = site.run(&["check"]).refused();
        assert!(line.contains(words), "{line}\nfor\n{text}");
        assert_eq!(site.run(&["serve"]).refused(), line);
    }
    fs::remove_file(&site.config).unwrap();
    let line = site.run(&["serve"]).refused();
    assert!(line.contains(&format!("cannot read `{}`; `portcullis init` makes a new site", site.config)), "{line}");
}

#[test]
fn key_file_that_others_can_read_is_refused() {
    let site = Site::new();
    let key = site.folder.path("keys/sealing.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let words = format!("the key file `{}` can be read by others: run chmod 600 on it", key.display());
    assert_eq!(site.run(&["serve"]).refused(), words);
    assert_eq!(site.run(&["admin", "user", "list"]).refused(), words);
    let done = site.run(&["doctor"]);
    assert!(done.out.contains(&format!("BAD  {words}")), "{done:?}");
    assert_eq!(done.refused(), "1 thing to mend");

    fs::write(&key, "not a key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(site.run(&["serve"]).refused().contains("does not hold 64 hexadecimal digits"));
}

#[test]
fn port_in_use_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let data = folder.path("demo");
    let line = portcullis(&["demo", "--listen", &address, "--data", data.to_str().unwrap()]).refused();
    assert!(line.starts_with(&format!("cannot listen on {address}; choose another with --listen: ")), "{line}");
    assert!(!data.exists());

    let site = Site::new();
    let text = fs::read_to_string(&site.config).unwrap().replacen("127.0.0.1:0", &address, 1);
    fs::write(&site.config, text).unwrap();
    let line = site.run(&["serve"]).refused();
    assert!(line.contains(&format!("cannot listen on {address}; choose another with `listen` in the")), "{line}");
}

#[test]
fn folder_that_cannot_be_written_is_said() {
    // A folder inside a file cannot be made by anybody, root included.
    let folder = Folder::new();
    let file = folder.write("file", "");
    let inside = file.join("inside").to_str().unwrap().to_owned();
    let line = portcullis(&["demo", "--listen", "127.0.0.1:0", "--data", &inside]).refused();
    assert!(line.starts_with(&format!("cannot write in `{inside}`: ")), "{line}");
    let config = format!("{inside}/portcullis.toml");
    let line = portcullis(&["init", "--config", &config, "--email", "ada@acme.example"]).refused();
    assert!(line.starts_with(&format!("cannot make the folder `{inside}/data`: ")), "{line}");
}

#[test]
fn newer_schema_is_refused() {
    let site = Site::new();
    age_of_tomorrow(site.database());
    let words = "database has schema version 9999, this program knows";
    for arguments in [&["serve"][..], &["migrate"], &["admin", "user", "list"], &["audit"]] {
        let line = site.run(arguments).refused();
        assert!(line.contains(words) && line.ends_with("install the newer program"), "{arguments:?}: {line}");
    }
    let done = site.run(&["doctor"]);
    assert!(done.out.contains(words), "{done:?}");
    assert_eq!(done.refused(), "1 thing to mend");
}

#[test]
fn database_that_is_missing_is_not_made_by_the_way() {
    let site = Site::new();
    fs::remove_file(site.database()).unwrap();
    let (to, words) = (site.folder.path("copy"), format!("there is no database at `{}`", site.database().display()));
    let backup = ["backup", "--to", to.to_str().unwrap()];
    for arguments in [&["serve"][..], &["migrate"], &["admin", "user", "list"], &backup] {
        let line = site.run(arguments).refused();
        assert!(line.starts_with(&words), "{arguments:?}: {line}");
        assert!(!site.database().exists() && !to.exists());
    }
}

#[test]
fn demo_leaves_a_folder_alone_that_is_not_a_demos() {
    let site = Site::new();
    let before = site.folder.files();
    for (name, more) in [("data", &[][..]), ("data", &["--fresh"]), ("keys", &[]), ("keys", &["--fresh"])] {
        let data = site.folder.path(name);
        let demo = ["demo", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        let line = portcullis(&[&demo[..], more].concat()).refused();
        assert!(line.ends_with("is not a demo's; choose another folder with --data"), "{line}");
    }
    assert!(site.folder.files() == before);
}
