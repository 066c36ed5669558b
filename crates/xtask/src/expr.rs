//! The permission language of `operations.toml`: parsed, turned into the types of `authz::row`, and asked what facts it needs.

use anyhow::{Result, bail};
use portcullis_model::{GlobalPermission, ProjectPermission};

/// A permission rule as read; `code` gives the value of `authz::row::Expr`.
#[derive(Debug, PartialEq)]
pub enum Expr {
    /// An atom without argument: the variant of `authz::row::Expr`.
    Atom(&'static str),
    Global(GlobalPermission),
    Project(ProjectPermission, Of),
    Security(Of),
    /// `visible`, `owner`, `shared`, `editable`: the variant, and the thing.
    About(&'static str, Thing),
    Caller(Caller),
    NeverKnown(String),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Cases(Vec<(When, Expr)>),
}

#[derive(Debug, Default, PartialEq)]
pub struct Caller {
    connect: bool,
    forge: bool,
    oauth: bool,
    internal: bool,
    owns: Option<String>,
    app_only: bool,
}

#[derive(Debug, PartialEq)]
pub enum When {
    Known(&'static str),
    NeverKnown(String),
}

/// A word of the language and the variant it stands for.
type Word = (&'static str, &'static str);

/// Variant of `authz::row::Of`.
pub type Of = &'static str;
/// Variant of `authz::row::Thing`.
pub type Thing = &'static str;

const ATOMS: &[Word] = &[
    ("none", "Nothing"),
    ("logged_in", "LoggedIn"),
    ("account", "Account"),
    ("site_admin", "SiteAdmin"),
    ("org_admin", "OrgAdmin"),
];

const ABOUT: &[Word] = &[("visible", "Visible"), ("owner", "Owner"), ("shared", "Shared"), ("editable", "Editable")];

const OF: &[Word] = &[
    ("project", "Project"),
    ("issue", "Issue"),
    ("other_issue", "OtherIssue"),
    ("both_issues", "BothIssues"),
    ("each_issue", "EachIssue"),
    ("each_project", "EachProject"),
    ("other_project", "OtherProject"),
    ("any_project", "AnyProject"),
    ("any_project_using", "AnyProjectUsing"),
];

const THINGS: &[Word] = &[
    ("comment", "Comment"),
    ("worklog", "Worklog"),
    ("attachment", "Attachment"),
    ("attachment_comment", "AttachmentComment"),
    ("filter", "Filter"),
    ("dashboard", "Dashboard"),
    ("task", "Task"),
];

const WHEN: &[Word] = &[
    ("otherwise", "Otherwise"),
    ("target_user_is_caller", "TargetUserIsCaller"),
    ("account_is_caller", "AccountIsCaller"),
    ("changes_key_or_scheme", "ChangesKeyOrScheme"),
    ("keeps_key_and_schemes", "KeepsKeyAndSchemes"),
    ("company_managed", "CompanyManaged"),
    ("team_managed", "TeamManaged"),
    ("system_avatar", "SystemAvatar"),
    ("project_avatar", "ProjectAvatar"),
    ("issue_type_avatar", "IssueTypeAvatar"),
    ("project_or_issue_given", "ProjectOrIssueGiven"),
    ("connect_app_only", "ConnectAppOnly"),
];

impl Expr {
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { text, at: 0 };
        let expr = parser.expr()?;
        parser.end()?;
        Ok(expr)
    }

    /// The rule as a Rust expression.
    pub fn code(&self) -> String {
        match self {
            Expr::Atom(variant) => format!("Expr::{variant}"),
            Expr::Global(permission) => format!("Expr::Global(GlobalPermission::{permission:?})"),
            Expr::Project(permission, of) => format!("Expr::Project(ProjectPermission::{permission:?}, Of::{of})"),
            Expr::Security(of) => format!("Expr::IssueSecurity(Of::{of})"),
            Expr::About(variant, thing) => format!("Expr::{variant}(Thing::{thing})"),
            Expr::Caller(Caller { connect, forge, oauth, internal, owns, app_only }) => format!(
                "Expr::Caller(CallerRule {{ connect: {connect}, forge: {forge}, oauth: {oauth}, internal: {internal}, \
                 owns: {owns:?}, app_only: {app_only} }})"
            ),
            Expr::NeverKnown(words) => format!("Expr::NeverKnown({words:?})"),
            Expr::All(parts) => format!("Expr::All(&[{}])", join(parts, Expr::code)),
            Expr::Any(parts) => format!("Expr::Any(&[{}])", join(parts, Expr::code)),
            Expr::Cases(cases) => {
                let case = |(when, rule): &(When, Expr)| format!("({}, {})", when.code(), rule.code());
                format!("Expr::Cases(&[{}])", join(cases, case))
            }
        }
    }

    /// The facts about the target that the rule asks for, by the names used in `table::Locate::finds`.
    ///
    /// Conditions that are never known, and any project of the site, need nothing to be located.
    pub fn needs(&self, out: &mut Vec<String>) {
        match self {
            Expr::Atom(_) | Expr::Global(_) | Expr::NeverKnown(_) => {}
            Expr::Project(_, "AnyProject") | Expr::Security("AnyProject") => {}
            Expr::Project(_, of) | Expr::Security(of) => out.push((*of).to_owned()),
            Expr::About(_, thing) => out.push((*thing).to_owned()),
            Expr::Caller(rule) => match rule.owns.as_deref() {
                None | Some("self") => {}
                Some(owned) => out.push(format!("the app's own {owned}")),
            },
            Expr::All(parts) | Expr::Any(parts) => parts.iter().for_each(|part| part.needs(out)),
            Expr::Cases(cases) => {
                for (when, rule) in cases {
                    match when {
                        When::Known("Otherwise" | "ConnectAppOnly") | When::NeverKnown(_) => {}
                        When::Known(condition) => out.push((*condition).to_owned()),
                    }
                    rule.needs(out);
                }
            }
        }
    }

    /// Refuses the one shape in which a fact nobody has would open the door: an unknown condition, then `otherwise: none`.
    pub fn check(&self) -> Result<()> {
        match self {
            Expr::All(parts) | Expr::Any(parts) => parts.iter().try_for_each(Expr::check),
            Expr::Cases(cases) => {
                let unknown = cases.iter().any(|(when, _)| matches!(when, When::NeverKnown(_)));
                for (position, (when, rule)) in cases.iter().enumerate() {
                    rule.check()?;
                    let last = position + 1 == cases.len();
                    if *when == When::Known("Otherwise") {
                        if !last {
                            bail!("`otherwise` is not the last case");
                        }
                        if unknown && *rule == Expr::Atom("Nothing") {
                            bail!("`otherwise: none` after a condition that is never known would allow everyone");
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl When {
    fn code(&self) -> String {
        match self {
            When::Known(variant) => format!("When::{variant}"),
            When::NeverKnown(words) => format!("When::NeverKnown({words:?})"),
        }
    }
}

fn join<T>(parts: &[T], code: impl Fn(&T) -> String) -> String {
    parts.iter().map(code).collect::<Vec<_>>().join(", ")
}

/// The variant that `word` stands for in one of the lists above.
pub fn thing(word: &str) -> Result<Thing> {
    variant(THINGS, word, "a thing")
}

fn variant(words: &[Word], word: &str, what: &str) -> Result<&'static str> {
    match words.iter().find(|(known, _)| *known == word) {
        Some((_, variant)) => Ok(variant),
        None => {
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            bail!("`{word}` is not {what}; known: {}", known.join(", "))
        }
    }
}

/// Recursive descent; every error names the column.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn expr(&mut self) -> Result<Expr> {
        let word = self.word()?;
        if word == "never_known" {
            return Ok(Expr::NeverKnown(self.quoted_argument()?));
        }
        if !self.take('(') {
            return match ATOMS.iter().find(|(known, _)| *known == word) {
                Some((_, variant)) => Ok(Expr::Atom(variant)),
                None => match word.parse() {
                    Ok(permission) => Ok(Expr::Global(permission)),
                    Err(_) => self.fail(&format!("`{word}` is neither an atom nor a global permission")),
                },
            };
        }
        let expr = match word {
            "all" => Expr::All(self.list(Self::expr)?),
            "any" => Expr::Any(self.list(Self::expr)?),
            "case" => Expr::Cases(self.list(Self::case)?),
            "caller" => Expr::Caller(self.caller()?),
            "security" => Expr::Security(self.of()?),
            _ => match (ABOUT.iter().find(|(known, _)| *known == word), word.parse()) {
                (Some((_, about)), _) => {
                    let argument = self.word()?;
                    match thing(argument) {
                        Ok(thing) => Expr::About(about, thing),
                        Err(error) => return self.fail(&error.to_string()),
                    }
                }
                (None, Ok(permission)) => Expr::Project(permission, self.of()?),
                (None, Err(_)) => return self.fail(&format!("`{word}` is neither a rule nor a project permission")),
            },
        };
        self.expect(')')?;
        Ok(expr)
    }

    fn case(&mut self) -> Result<(When, Expr)> {
        let word = self.word()?;
        let when = if word == "never_known" {
            When::NeverKnown(self.quoted_argument()?)
        } else {
            match variant(WHEN, word, "a condition") {
                Ok(variant) => When::Known(variant),
                Err(error) => return self.fail(&error.to_string()),
            }
        };
        self.expect(':')?;
        Ok((when, self.expr()?))
    }

    /// `connect, forge; owns=name; app_only`, up to the closing bracket.
    fn caller(&mut self) -> Result<Caller> {
        let mut rule = Caller::default();
        loop {
            match self.word()? {
                "connect" => rule.connect = true,
                "forge" => rule.forge = true,
                "oauth" => rule.oauth = true,
                "internal" => rule.internal = true,
                other => return self.fail(&format!("`{other}` is not a kind of app")),
            }
            if !self.take(',') {
                break;
            }
        }
        while self.take(';') {
            match self.word()? {
                "app_only" => rule.app_only = true,
                "owns" => {
                    self.expect('=')?;
                    rule.owns = Some(self.word()?.to_owned());
                }
                other => return self.fail(&format!("`{other}` is neither `owns` nor `app_only`")),
            }
        }
        Ok(rule)
    }

    fn of(&mut self) -> Result<Of> {
        let word = self.word()?;
        variant(OF, word, "an object of a permission").or_else(|error| self.fail(&error.to_string()))
    }

    /// One or more, with commas between.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take(',') {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn quoted_argument(&mut self) -> Result<String> {
        self.expect('(')?;
        self.expect('"')?;
        let Some(length) = self.text[self.at..].find('"') else {
            return self.fail("the quotation does not end");
        };
        let words = self.text[self.at..self.at + length].to_owned();
        self.at += length + 1;
        self.expect(')')?;
        Ok(words)
    }

    fn word(&mut self) -> Result<&'a str> {
        self.skip_spaces();
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length == 0 {
            return self.fail("a word is missing");
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_spaces();
        let found = self.text[self.at..].starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        if self.take(wanted) { Ok(()) } else { self.fail(&format!("`{wanted}` is missing")) }
    }

    fn end(&mut self) -> Result<()> {
        self.skip_spaces();
        if self.at == self.text.len() { Ok(()) } else { self.fail("something follows the end of the rule") }
    }

    fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn fail<T>(&self, what: &str) -> Result<T> {
        bail!("{what}, at column {} of `{}`", self.at + 1, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_becomes_the_value_of_the_row() {
        let rule =
            Expr::parse("all(BROWSE_PROJECTS(issue), any(ADMINISTER, owner(comment)), security(issue))").unwrap();
        assert_eq!(
            rule.code(),
            "Expr::All(&[Expr::Project(ProjectPermission::BrowseProjects, Of::Issue), \
             Expr::Any(&[Expr::Global(GlobalPermission::Administer), Expr::Owner(Thing::Comment)]), \
             Expr::IssueSecurity(Of::Issue)])"
        );
    }

    #[test]
    fn caller_and_cases() {
        let rule = Expr::parse(
            r#"case(never_known("no contexts"): caller(connect, forge; owns=webhook; app_only), otherwise: logged_in)"#,
        )
        .unwrap();
        assert_eq!(
            rule.code(),
            "Expr::Cases(&[(When::NeverKnown(\"no contexts\"), Expr::Caller(CallerRule { connect: true, forge: true, \
             oauth: false, internal: false, owns: Some(\"webhook\"), app_only: true })), (When::Otherwise, Expr::LoggedIn)])"
        );
    }

    #[test]
    fn mistakes_are_named_with_their_column() {
        for (text, error) in [
            ("BROWSE_PROJECT(issue)", "`BROWSE_PROJECT` is neither a rule nor a project permission, at column 16"),
            ("BROWSE_PROJECTS", "`BROWSE_PROJECTS` is neither an atom nor a global permission, at column 16"),
            ("all(none, )", "a word is missing, at column 11"),
            ("all(none", "`)` is missing, at column 9"),
            ("none none", "something follows the end of the rule, at column 6"),
            ("visible(page)", "`page` is not a thing; known: comment"),
            ("case(always: none)", "`always` is not a condition; known: otherwise"),
            ("never_known(\"x)", "the quotation does not end"),
        ] {
            let found = Expr::parse(text).unwrap_err().to_string();
            assert!(found.starts_with(error), "{text}: {found}");
        }
    }

    #[test]
    fn unknown_condition_never_opens_the_door() {
        let open = Expr::parse(r#"case(never_known("x"): ADMINISTER, otherwise: none)"#).unwrap();
        assert!(open.check().is_err());
        let closed = Expr::parse(r#"case(never_known("x"): none, otherwise: ADMINISTER)"#).unwrap();
        closed.check().unwrap();
    }
}
