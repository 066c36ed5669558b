//! From a query to a condition on issues: which fields, operators and values there are, in Jira's words where one is wrong.
//!
//! Two rules keep hidden things hidden:
//! - The condition only ever narrows what [`push_issue_visible`] leaves: statements are made in this file alone, and carry it.
//! - A name is looked up among what the caller may see. What is hidden gives the very error of what does not exist.
//!
//! `NOT` is taken down to the comparisons (`NOT a = x` is `a != x`), as Jira does: comparisons never match empty fields, so a
//! negation cannot show which issues have a field filled with something hidden.

use portcullis_guard::{AnyMode, Sql, SqlBuilder, StoreError, Tx};
use portcullis_model::{Problem, ProblemKind, ProjectPermission};

use crate::jql::{Clause, Field, Operand, Operator, Query, Terminal, Value};
use crate::search::asker::Asker;
use crate::search::fields::{CustomField, CustomKind, Kind, negated, system_field};
use crate::search::fragment::Fragment;
use crate::search::functions::{self, Function};
use crate::search::order::Sort;
use crate::search::text::TextQuery;
use crate::visible::push_issue_visible;

/// The most values of a statement, bound or in lists; SQLite takes 32766 bound ones.
const STATEMENT_VALUES_MAX: usize = 30_000;

/// The most places of a statement that compare with all visible issues; each is one walk over them.
const STATEMENT_SEEN_MAX: usize = 10;

/// The most comparisons of a query together with the saved filters it names.
const CLAUSES_MAX: usize = crate::jql::CLAUSES_MAX;

/// The most messages of one refusal.
const MESSAGES_MAX: usize = 20;

/// A query that was understood.
#[derive(Debug)]
pub struct Compiled {
    condition: Fragment,
    sorts: Vec<Sort>,
}

/// Why a query was not understood.
#[derive(Debug)]
pub enum NotCompiled {
    /// What to tell the caller.
    Said(Vec<String>),
    /// The database's.
    Store(StoreError),
}

impl From<StoreError> for NotCompiled {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NotCompiled> for Problem {
    fn from(error: NotCompiled) -> Self {
        match error {
            NotCompiled::Said(messages) => {
                Problem { kind: ProblemKind::Invalid, messages, fields: Vec::new(), status: None, cause: None }
            }
            NotCompiled::Store(error) => error.into(),
        }
    }
}

/// Understands a query on behalf of a caller.
///
/// # Errors
/// What is wrong with it, all of it at once; or the database's.
pub async fn compile<M: AnyMode>(tx: &mut Tx<M>, asker: &Asker, query: &Query) -> Result<Compiled, NotCompiled> {
    compile_within(tx, asker, query, None).await
}

/// The same, but a value that does not exist matches nothing instead of being an error.
///
/// # Errors
/// As [`compile`].
pub async fn compile_forgiving<M: AnyMode>(
    tx: &mut Tx<M>,
    asker: &Asker,
    query: &Query,
) -> Result<Compiled, NotCompiled> {
    compile_as(tx, asker, query, None, true).await
}

/// The same for the text of a saved filter that is about to be stored: it may not lead back to itself.
///
/// # Errors
/// As [`compile`].
pub async fn compile_within<M: AnyMode>(
    tx: &mut Tx<M>,
    asker: &Asker,
    query: &Query,
    filter: Option<i64>,
) -> Result<Compiled, NotCompiled> {
    compile_as(tx, asker, query, filter, false).await
}

async fn compile_as<M: AnyMode>(
    tx: &mut Tx<M>,
    asker: &Asker,
    query: &Query,
    filter: Option<i64>,
    any_value: bool,
) -> Result<Compiled, NotCompiled> {
    let filters = filter.into_iter().collect();
    let mut compiler = Compiler {
        tx,
        asker,
        known: None,
        custom: None,
        clauses: 0,
        filters,
        lenient: false,
        any_value,
        messages: Vec::new(),
    };
    let condition = match &query.filter {
        Some(clause) => compiler.clause(clause, false).await?,
        None => Fragment::always(),
    };
    let sorts = compiler.sorts(&query.order_by).await?;
    let (values, seen) = sorts
        .iter()
        .map(|sort| &sort.by)
        .chain([&condition])
        .fold((0, 0), |(values, seen), part| (values + part.values, seen + part.seen));
    if values > STATEMENT_VALUES_MAX || seen > STATEMENT_SEEN_MAX {
        compiler.messages.push("The query is too complex. Use fewer clauses or values.".to_owned());
    }
    if compiler.messages.is_empty() {
        Ok(Compiled { condition, sorts })
    } else {
        Err(NotCompiled::Said(compiler.messages))
    }
}

/// From where on a page continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After so many issues.
    Offset(i64),
    /// After this issue; for queries without an order of their own, which show the newest first.
    After(i64),
}

impl Compiled {
    /// Whether the query has an order of its own.
    pub fn is_sorted(&self) -> bool {
        !self.sorts.is_empty()
    }

    /// The ids of visible issues that match, in order.
    pub fn select(&self, asker: &Asker, from: Start, limit: i64) -> Sql {
        let mut sql = self.head(asker);
        sql.push("SELECT i.id FROM jira_issue i WHERE ");
        self.push_where(&mut sql, asker);
        if let Start::After(id) = from {
            sql.push(" AND i.id < ").bind(id);
        }
        sql.push(" ORDER BY ");
        for sort in &self.sorts {
            sort.by.write_to(&mut sql);
            sql.push(if sort.descending { " DESC NULLS LAST, " } else { " ASC NULLS LAST, " });
        }
        // Ids grow with time: without an order the newest comes first, and equal ones keep a fixed order.
        sql.push("i.id DESC LIMIT ").bind(limit);
        if let Start::Offset(offset) = from
            && offset > 0
        {
            sql.push(" OFFSET ").bind(offset);
        }
        sql.into()
    }

    /// How many visible issues match.
    pub fn count(&self, asker: &Asker) -> Sql {
        let mut sql = self.head(asker);
        sql.push("SELECT COUNT(*) AS count FROM jira_issue i WHERE ");
        self.push_where(&mut sql, asker);
        sql.into()
    }

    /// Which of these issues are visible and match.
    pub fn among(&self, asker: &Asker, ids: &[i64]) -> Sql {
        let mut sql = self.head(asker);
        sql.push("SELECT i.id FROM jira_issue i WHERE i.id IN ").ids(ids).push(" AND ");
        self.push_where(&mut sql, asker);
        sql.push(" ORDER BY i.id");
        sql.into()
    }

    /// The same query with one more condition.
    #[must_use]
    pub fn and(mut self, condition: Fragment) -> Self {
        self.condition = Fragment::all(vec![self.condition, condition]);
        self
    }

    /// The condition's text, for tests.
    #[cfg(test)]
    pub fn text(&self) -> String {
        self.condition.text()
    }

    fn head(&self, asker: &Asker) -> SqlBuilder {
        let asks = self.condition.seen > 0 || self.sorts.iter().any(|sort| sort.by.seen > 0);
        if !asks {
            return SqlBuilder::new("");
        }
        let mut sql = SqlBuilder::new("WITH seen AS (SELECT i.id FROM jira_issue i WHERE ");
        push_issue_visible(&mut sql, &asker.visibility);
        sql.push(") ");
        sql
    }

    fn push_where(&self, sql: &mut SqlBuilder, asker: &Asker) {
        push_issue_visible(sql, &asker.visibility);
        sql.push(" AND (");
        self.condition.write_to(sql);
        sql.push(")");
    }
}

/// Why a comparison has no condition.
#[derive(Debug)]
pub(crate) enum Stop {
    Said(String),
    /// A value that the caller knows nothing of; said only where values must exist.
    Unknown(String),
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(crate) fn said<T>(message: String) -> Result<T, Stop> {
    Err(Stop::Said(message))
}

/// What is known while a query is read.
pub(crate) struct Compiler<'a, M: AnyMode> {
    pub(crate) tx: &'a mut Tx<M>,
    pub(crate) asker: &'a Asker,
    /// Projects the caller may name, once they were needed.
    pub(crate) known: Option<Vec<i64>>,
    /// Custom fields, once they were needed.
    pub(crate) custom: Option<Vec<CustomField>>,
    clauses: usize,
    /// Saved filters being read, the outermost first.
    pub(crate) filters: Vec<i64>,
    /// Inside a saved filter: what is wrong matches nothing and says nothing, because its text is another's.
    lenient: bool,
    /// Values need not exist: what names one that does not matches nothing.
    any_value: bool,
    pub(crate) messages: Vec<String>,
}

/// What a comparison asks for, after negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    OneOf { negated: bool },
    Order(Operator),
    Like { negated: bool },
    Empty { negated: bool },
}

/// Where the values of a field are.
enum Place {
    /// In a column of the issue.
    Column(&'static str),
    /// In rows of another table: `SELECT 1 FROM .. WHERE ..`, and the column.
    Rows(Fragment, &'static str),
}

/// Values that were looked up.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// Ids.
    pub(crate) ids: Vec<i64>,
    /// `(SELECT ..)`.
    pub(crate) selects: Vec<Fragment>,
    /// The empty value too.
    pub(crate) empty: bool,
}

impl Set {
    fn holds(&self, column: &'static str) -> Option<Fragment> {
        let mut parts = Vec::new();
        if !self.ids.is_empty() {
            let mut part = Fragment::new(column);
            part.push(" IN ").ids(&self.ids);
            parts.push(part);
        }
        for select in &self.selects {
            let mut part = Fragment::new(column);
            part.push(" IN ").add(select.clone());
            parts.push(part);
        }
        (!parts.is_empty()).then(|| Fragment::any(parts))
    }
}

impl<M: AnyMode> Compiler<'_, M> {
    /// The condition of a clause, or of its opposite.
    async fn clause(&mut self, clause: &Clause, negate: bool) -> Result<Fragment, StoreError> {
        match clause {
            Clause::And(clauses) | Clause::Or(clauses) => {
                let mut parts = Vec::with_capacity(clauses.len());
                for clause in clauses {
                    parts.push(Box::pin(self.clause(clause, negate)).await?);
                }
                let all = matches!(clause, Clause::And(_)) != negate;
                Ok(if all { Fragment::all(parts) } else { Fragment::any(parts) })
            }
            Clause::Not(clause) => Box::pin(self.clause(clause, !negate)).await,
            Clause::TextSearch(text) => {
                let found = self.any_text("text", text, negate).await;
                self.settled(found)
            }
            Clause::Terminal(terminal) => {
                let found = self.terminal(terminal, negate).await;
                self.settled(found)
            }
        }
    }

    fn settled(&mut self, found: Result<Fragment, Stop>) -> Result<Fragment, StoreError> {
        match found {
            Ok(fragment) => Ok(fragment),
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Unknown(_)) if self.any_value => Ok(Fragment::never()),
            Err(Stop::Said(message) | Stop::Unknown(message)) => {
                if !self.lenient && self.messages.len() < MESSAGES_MAX && !self.messages.contains(&message) {
                    self.messages.push(message);
                }
                Ok(Fragment::never())
            }
        }
    }

    async fn terminal(&mut self, terminal: &Terminal, negate: bool) -> Result<Fragment, Stop> {
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            return said("The query is too complex. Use fewer clauses or values.".to_owned());
        }
        let name = field_name(&terminal.field);
        check_operand(&name, terminal)?;
        let kinds = self.kinds(&terminal.field).await?;
        if kinds.is_empty() {
            return said(format!("Field '{name}' does not exist or you do not have permission to view it."));
        }
        if !kinds.iter().all(|kind| kind.takes(terminal.operator)) {
            let operator = terminal.operator.symbol().to_lowercase();
            return said(format!("The operator '{operator}' is not supported by the '{name}' field."));
        }
        let operator = if negate { negated(terminal.operator) } else { terminal.operator };
        let test = test_of(operator, &terminal.operand);
        let values = match &terminal.operand {
            Operand::Single(value) => std::slice::from_ref(value),
            Operand::List(values) => values.as_slice(),
            Operand::Empty | Operand::Absent => &[],
        };
        let negative = matches!(
            test,
            Test::OneOf { negated: true } | Test::Like { negated: true } | Test::Empty { negated: true }
        );
        let mut parts = Vec::with_capacity(kinds.len());
        for kind in &kinds {
            parts.push(self.compare(&name, kind, test, values).await?);
        }
        // Several custom fields may share a name: any of them may match, and none when negated.
        Ok(if negative { Fragment::all(parts) } else { Fragment::any(parts) })
    }

    /// The fields of this name: one, or several custom fields that share it.
    pub(crate) async fn kinds(&mut self, field: &Field) -> Result<Vec<Kind>, StoreError> {
        let name = match field {
            Field::Named(name) => name,
            Field::CustomId(id) => {
                let id = i64::try_from(*id).unwrap_or(-1);
                return Ok(self
                    .custom_fields()
                    .await?
                    .iter()
                    .filter(|f| f.id == id)
                    .cloned()
                    .map(Kind::Custom)
                    .collect());
            }
            // Entity properties are not searched.
            Field::Property { .. } => return Ok(Vec::new()),
        };
        if let Some(found) = system_field(name) {
            return Ok(vec![found.kind.clone()]);
        }
        let by_id = name.to_lowercase().strip_prefix("customfield_").and_then(|id| id.parse::<i64>().ok());
        let folded = name.to_lowercase();
        let fields = self.custom_fields().await?;
        let found = fields.iter().filter(|f| by_id == Some(f.id) || f.name.to_lowercase() == folded);
        Ok(found.cloned().map(Kind::Custom).collect())
    }

    async fn compare(&mut self, name: &str, kind: &Kind, test: Test, values: &[Value]) -> Result<Fragment, Stop> {
        let no_empty = |fragment: Result<Fragment, Stop>| -> Result<Fragment, Stop> {
            if matches!(test, Test::Empty { .. }) || values.contains(&Value::Empty) {
                return said(format!("The field '{name}' does not support searching for EMPTY values."));
            }
            fragment
        };
        match kind {
            // Every issue has both; `project is not EMPTY` is how people write "all issues" since queries must be bounded.
            Kind::Project | Kind::Key if matches!(test, Test::Empty { .. }) => {
                Ok(if test == (Test::Empty { negated: true }) { Fragment::always() } else { Fragment::never() })
            }
            Kind::Project => {
                no_empty(Ok(Fragment::always()))?;
                let set = self.projects(name, values).await?;
                Ok(member(test, &Place::Column("i.project_id"), &set))
            }
            Kind::Key => {
                no_empty(Ok(Fragment::always()))?;
                match test {
                    Test::Order(operator) => self.key_order(name, operator, values).await,
                    Test::OneOf { .. } | Test::Like { .. } | Test::Empty { .. } => {
                        let set = self.issues(name, values).await?;
                        Ok(member(test, &Place::Column("i.id"), &set))
                    }
                }
            }
            Kind::Parent => {
                let set = self.issues(name, values).await?;
                Ok(parent_member(test, &set))
            }
            Kind::IssueType => {
                let set = self.site_values(name, values, kind).await?;
                Ok(member(test, &Place::Column("i.issue_type_id"), &set))
            }
            Kind::Status => {
                let set = self.site_values(name, values, kind).await?;
                Ok(member(test, &Place::Column("i.status_id"), &set))
            }
            Kind::StatusCategory => {
                no_empty(Ok(Fragment::always()))?;
                let set = self.status_categories(name, values)?;
                Ok(member(test, &Place::Column("i.status_id"), &set))
            }
            Kind::Resolution => {
                let set = self.site_values(name, values, kind).await?;
                Ok(member(test, &Place::Column("i.resolution_id"), &set))
            }
            Kind::Priority => {
                let set = self.site_values(name, values, kind).await?;
                let set = match test {
                    Test::Order(operator) => priorities_by_order(operator, &set.ids),
                    Test::OneOf { .. } | Test::Like { .. } | Test::Empty { .. } => set,
                };
                Ok(member(test, &Place::Column("i.priority_id"), &set))
            }
            Kind::Level => {
                let set = self.levels(name, values).await?;
                Ok(member(test, &Place::Column("i.security_level_id"), &set))
            }
            Kind::Person(column) => {
                let set = self.people(name, values).await?;
                Ok(member(test, &Place::Column(column), &set))
            }
            Kind::Watcher | Kind::Voter => {
                let set = self.people(name, values).await?;
                let table = if *kind == Kind::Watcher {
                    "SELECT 1 FROM jira_watcher x WHERE x.issue_id = i.id AND (i.project_id IN "
                } else {
                    "SELECT 1 FROM jira_vote x WHERE x.issue_id = i.id AND (i.project_id IN "
                };
                // Who else watches or votes is for those who may see it.
                let mut rows = Fragment::new(table);
                rows.ids(&self.asker.projects_with(ProjectPermission::ViewVotersAndWatchers));
                if let Some(user) = self.asker.user {
                    rows.push(" OR x.user_id = ").bind(user.0);
                }
                rows.push(")");
                Ok(member(test, &Place::Rows(rows, "x.user_id"), &set))
            }
            Kind::WorklogAuthor => {
                let set = self.people(name, values).await?;
                Ok(member(test, &Place::Rows(self.worklogs(), "c.author_id"), &set))
            }
            Kind::Component => {
                let set = self.components(name, values).await?;
                let rows = Fragment::new("SELECT 1 FROM jira_issue_component x WHERE x.issue_id = i.id");
                Ok(member(test, &Place::Rows(rows, "x.component_id"), &set))
            }
            Kind::Version(of) => {
                let set = match test {
                    Test::Order(operator) => self.versions_by_order(name, operator, values).await?,
                    Test::OneOf { .. } | Test::Like { .. } | Test::Empty { .. } => self.versions(name, values).await?,
                };
                let mut rows =
                    Fragment::new("SELECT 1 FROM jira_issue_version x WHERE x.issue_id = i.id AND x.kind = ");
                rows.bind(*of);
                Ok(member(test, &Place::Rows(rows, "x.version_id"), &set))
            }
            Kind::Labels => {
                let rows = Fragment::new("SELECT 1 FROM jira_issue_label x WHERE x.issue_id = i.id");
                words(name, test, rows, "LOWER(x.label)", values)
            }
            Kind::LinkType => self.link_types(name, test, values).await,
            Kind::Text(column) => match test {
                Test::Empty { negated } => {
                    let mut out = Fragment::new(column);
                    out.push(if negated { " <> ''" } else { " = ''" });
                    Ok(out)
                }
                Test::Like { negated } | Test::OneOf { negated } => {
                    let matches = text_query(name, values)?.matches(column);
                    if !negated {
                        return Ok(matches);
                    }
                    let mut out = Fragment::new("(");
                    out.push(column).push(" <> '' AND NOT ").add(matches).push(")");
                    Ok(out)
                }
                Test::Order(_) => Ok(Fragment::never()),
            },
            Kind::Comment => {
                no_empty(Ok(Fragment::always()))?;
                let matches = text_query(name, values)?.matches("c.body_folded");
                Ok(in_rows(matches!(test, Test::Like { negated: true }), &self.comments(), Some(matches)))
            }
            Kind::AnyText => {
                let negated = matches!(test, Test::Like { negated: true });
                match text_of(name, values)? {
                    Some(text) => self.any_text(name, &text, negated).await,
                    None => said(format!("The field '{name}' does not support searching for EMPTY values.")),
                }
            }
            Kind::Moment(column) => self.moments(name, column, test, values, 1_000),
            Kind::LastViewed => {
                // Which issues someone looked at is not recorded: empty for every issue.
                self.moments(name, "i.created_at_ms", test, values, 1_000)?;
                let empty = matches!(test, Test::Empty { negated: false });
                let named = matches!(test, Test::OneOf { negated: false }) && values.contains(&Value::Empty);
                Ok(if empty || named { Fragment::always() } else { Fragment::never() })
            }
            Kind::WorklogDate => {
                no_empty(Ok(Fragment::always()))?;
                let day_ms = 24 * 3_600_000;
                let matches = self.moments(name, "c.started_at_ms", positive(test), values, day_ms)?;
                let negated = matches!(test, Test::OneOf { negated: true });
                Ok(in_rows(negated, &self.worklogs(), Some(matches)))
            }
            Kind::Due => self.days(name, "i.due_date", test, values),
            Kind::Count(count) => {
                no_empty(Ok(Fragment::always()))?;
                let read = |value: &Value| -> Result<i64, Stop> {
                    match value {
                        Value::Number(number) if *number >= 0 => Ok(*number),
                        Value::Function { name: function, .. } => said(format!(
                            "A value provided by the function '{function}' is invalid for the field '{name}'. Votes must be a positive whole number."
                        )),
                        Value::Text(text) => match text.parse::<u32>() {
                            Ok(number) => Ok(number.into()),
                            Err(_) => said(format!(
                                "Value '{text}' is invalid for the '{name}' field. Votes must be a positive whole number."
                            )),
                        },
                        Value::Number(number) => said(format!(
                            "Value '{number}' is invalid for the '{name}' field. Votes must be a positive whole number."
                        )),
                        Value::Empty => Ok(0),
                    }
                };
                numbers(&Fragment::new(count), test, values, read)
            }
            Kind::Duration(_) | Kind::TimeSpent => {
                let column = match kind {
                    Kind::Duration(column) => Fragment::new(column),
                    _ => self.asker.time_spent(),
                };
                let read = |value: &Value| -> Result<i64, Stop> {
                    let text = match value {
                        Value::Text(text) => text.clone(),
                        Value::Number(number) => number.to_string(),
                        Value::Function { name: function, .. } => {
                            return said(format!(
                                "A value provided by the function '{function}' for the field '{name}' is not a positive duration."
                            ));
                        }
                        Value::Empty => return Ok(0),
                    };
                    match crate::issue::duration::parse(&text) {
                        Some(seconds) => Ok(seconds),
                        None => said(format!(
                            "The value '{text}' for field '{name}' is invalid. Please specify a positive duration format; for example: '1h 30m', '2d'."
                        )),
                    }
                };
                numbers(&column, test, values, read)
            }
            Kind::Attachments => {
                let mut rows = Fragment::new(
                    "SELECT 1 FROM jira_attachment a LEFT JOIN jira_comment c ON c.id = a.comment_id WHERE a.issue_id = i.id AND ",
                );
                rows.add(self.asker.unrestricted());
                Ok(member(test, &Place::Rows(rows, "a.id"), &Set::default()))
            }
            Kind::Filter => self.saved_filters(name, test, values).await,
            Kind::Custom(field) => self.custom(name, field, test, values).await,
        }
    }

    fn comments(&self) -> Fragment {
        let mut out = Fragment::new("SELECT 1 FROM jira_comment c WHERE c.issue_id = i.id AND ");
        out.add(self.asker.unrestricted());
        out
    }

    fn worklogs(&self) -> Fragment {
        let mut out = Fragment::new("SELECT 1 FROM jira_worklog c WHERE c.issue_id = i.id AND ");
        out.add(self.asker.unrestricted());
        out
    }

    async fn any_text(&mut self, name: &str, text: &str, negated: bool) -> Result<Fragment, Stop> {
        let query = parsed_text(name, text)?;
        let mut parts: Vec<Fragment> =
            ["i.summary_folded", "i.description_folded", "i.environment_folded"].map(|c| query.matches(c)).into();
        parts.push(in_rows(false, &self.comments(), Some(query.matches("c.body_folded"))));
        let fields: Vec<i64> =
            self.custom_fields().await?.iter().filter(|f| f.kind == CustomKind::Text).map(|f| f.id).collect();
        if !fields.is_empty() {
            let mut rows = Fragment::new("SELECT 1 FROM jira_issue_value x WHERE x.issue_id = i.id AND x.field_id IN ");
            rows.ids(&fields);
            parts.push(in_rows(false, &rows, Some(query.matches("x.value_folded"))));
        }
        let any = Fragment::any(parts);
        if !negated {
            return Ok(any);
        }
        let mut out = Fragment::new("NOT ");
        out.add(any);
        Ok(out)
    }

    async fn custom(
        &mut self,
        name: &str,
        field: &CustomField,
        test: Test,
        values: &[Value],
    ) -> Result<Fragment, Stop> {
        let mut rows = Fragment::new("SELECT 1 FROM jira_issue_value x WHERE x.issue_id = i.id AND x.field_id = ");
        rows.bind(field.id);
        if let Test::Empty { negated } = test {
            return Ok(in_rows(negated, &rows, None));
        }
        let negated = matches!(test, Test::OneOf { negated: true } | Test::Like { negated: true });
        let matches = match field.kind {
            CustomKind::Person => {
                let set = self.people(name, values).await?;
                return Ok(member(test, &Place::Rows(rows, "x.user_id"), &set));
            }
            CustomKind::Group => {
                let set = self.groups(name, values).await?;
                return Ok(member(test, &Place::Rows(rows, "x.group_id"), &set));
            }
            CustomKind::Option => {
                let set = self.options(name, field.id, values).await?;
                return Ok(member(test, &Place::Rows(rows, "x.option_id"), &set));
            }
            CustomKind::Labels => return words(name, test, rows, "LOWER(x.value)", values),
            CustomKind::Url => return words(name, test, rows, "x.value_folded", values),
            CustomKind::Text => text_query(name, values)?.matches("x.value_folded"),
            CustomKind::Number => number_matches(name, field.id, positive(test), values)?,
            CustomKind::Day => self.days(name, "x.value", positive(test), values)?,
            CustomKind::Moment => self.written_moments(name, positive(test), values)?,
        };
        let mut out = in_rows(negated, &rows, Some(matches));
        if !negated && values.contains(&Value::Empty) {
            out = Fragment::any(vec![out, in_rows(false, &rows, None)]);
        }
        Ok(out)
    }

    fn moment(&self, name: &str, value: &Value) -> Result<crate::jql::date::Moment, Stop> {
        use crate::jql::date::{Moment, function_moment, parse_moment};
        let asker = self.asker;
        let found = match value {
            Value::Text(text) => parse_moment(text, asker.now_ms, asker.zone_minutes),
            Value::Number(ms) => Ok(Moment::from_ms(*ms)),
            Value::Function { name, args } => function_moment(name, args, asker.now_ms, asker.zone_minutes),
            Value::Empty => Ok(Moment::from_ms(0)),
        };
        found.map_err(|bad| Stop::Said(bad.message(name)))
    }

    /// Compares a column of milliseconds; `width_ms` is how much counts as equal.
    fn moments(
        &self,
        name: &str,
        column: &'static str,
        test: Test,
        values: &[Value],
        width_ms: i64,
    ) -> Result<Fragment, Stop> {
        let mut bounds = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| **value != Value::Empty) {
            bounds.push(self.moment(name, value)?.ms());
        }
        Ok(ranges(&Fragment::new(column), test, values, &bounds, |ms| ms.saturating_add(width_ms)))
    }

    /// Compares a column of days, `2026-07-01`.
    fn days(&self, name: &str, column: &'static str, test: Test, values: &[Value]) -> Result<Fragment, Stop> {
        let mut days = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| **value != Value::Empty) {
            days.push(self.moment(name, value)?.local_date(self.asker.zone_minutes));
        }
        Ok(texts(column, test, values, &days))
    }

    /// Compares moments as the wire writes them, which sort as text.
    fn written_moments(&self, name: &str, test: Test, values: &[Value]) -> Result<Fragment, Stop> {
        let mut moments = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| **value != Value::Empty) {
            moments.push(crate::wire::moment(self.moment(name, value)?.ms()));
        }
        Ok(texts("x.value", test, values, &moments))
    }

    async fn saved_filters(&mut self, name: &str, test: Test, values: &[Value]) -> Result<Fragment, Stop> {
        let negated = matches!(test, Test::OneOf { negated: true });
        let mut parts = Vec::new();
        for value in values {
            let mut found = Vec::new();
            for filter in self.filters_named(name, value).await? {
                found.push(self.saved_filter(name, value, filter, negated).await?);
            }
            parts.push(if negated { Fragment::all(found) } else { Fragment::any(found) });
        }
        Ok(if negated { Fragment::all(parts) } else { Fragment::any(parts) })
    }

    async fn saved_filter(
        &mut self,
        name: &str,
        value: &Value,
        (id, filter_name, jql): (i64, String, String),
        negate: bool,
    ) -> Result<Fragment, Stop> {
        if self.filters.contains(&id) {
            let value = shown(value);
            return said(format!(
                "Field '{name}' with value '{value}' matches filter '{filter_name}' and causes a cyclical reference, this query can not be executed and should be edited."
            ));
        }
        if self.filters.len() >= FILTERS_DEEP_MAX {
            return said("The query is too complex. Use fewer clauses or values.".to_owned());
        }
        let Ok(query) = crate::jql::parse_strict(&jql) else { return Ok(Fragment::never()) };
        let Some(clause) = query.filter else {
            return Ok(if negate { Fragment::never() } else { Fragment::always() });
        };
        // A circle between saved filters must be seen, whoever wrote them; other faults are not the caller's.
        self.filters.push(id);
        let was = std::mem::replace(&mut self.lenient, true);
        let found = Box::pin(self.clause(&clause, negate)).await;
        self.lenient = was;
        self.filters.pop();
        Ok(found?)
    }
}

/// How deep saved filters may name one another.
const FILTERS_DEEP_MAX: usize = 10;

/// The name of a field as messages show it.
pub(crate) fn field_name(field: &Field) -> String {
    match field {
        Field::Named(name) => name.clone(),
        Field::CustomId(id) => format!("cf[{id}]"),
        Field::Property { .. } => field.to_string(),
    }
}

/// A value as messages show it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(_) | Value::Function { .. } | Value::Empty => value.to_string(),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("\"{text}\""),
        Value::Number(_) | Value::Function { .. } | Value::Empty => value.to_string(),
    }
}

/// Whether operator and operand go together, before any field is looked at.
fn check_operand(name: &str, terminal: &Terminal) -> Result<(), Stop> {
    let operator = terminal.operator.symbol().to_lowercase();
    let values = match &terminal.operand {
        Operand::Single(value) => std::slice::from_ref(value),
        Operand::List(values) => values.as_slice(),
        Operand::Empty | Operand::Absent => &[],
    };
    for value in values {
        if let Value::Function { name: function, .. } = value
            && functions::find(function).is_none()
        {
            return said(format!("Unable to find JQL function '{value}'."));
        }
    }
    let list = match &terminal.operand {
        Operand::List(_) => true,
        Operand::Single(Value::Function { name, .. }) => functions::find(name).is_some_and(Function::is_list),
        Operand::Single(_) | Operand::Empty | Operand::Absent => false,
    };
    let text = match &terminal.operand {
        Operand::Single(value) => quoted(value),
        Operand::List(values) => format!("({})", values.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        Operand::Empty | Operand::Absent => "EMPTY".to_owned(),
    };
    match terminal.operator {
        Operator::In | Operator::NotIn => {
            if terminal.operand == Operand::Empty {
                return said(format!(
                    "Operator '{operator}' does not support the empty value representation 'EMPTY' for field '{name}'."
                ));
            }
            if !list {
                return said(format!(
                    "Operator '{operator}' does not support the non-list value '{text}' for field '{name}'."
                ));
            }
        }
        Operator::Is | Operator::IsNot => {
            if terminal.operand != Operand::Empty {
                return said(format!(
                    "Operator '{operator}' does not support searching for non-empty values for field '{name}'."
                ));
            }
        }
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            if terminal.operand == Operand::Empty {
                return said(format!(
                    "Operator '{operator}' does not support the empty value representation 'EMPTY' for field '{name}'."
                ));
            }
            if list {
                return said(format!(
                    "Operator '{operator}' does not support the list value '{text}' for field '{name}'."
                ));
            }
        }
        Operator::Equals | Operator::NotEquals | Operator::Like | Operator::NotLike => {
            if list {
                return said(format!(
                    "Operator '{operator}' does not support the list value '{text}' for field '{name}'."
                ));
            }
        }
        // No field takes these, which is said once the field is known to exist.
        Operator::Was | Operator::WasNot | Operator::WasIn | Operator::WasNotIn | Operator::Changed => {}
    }
    Ok(())
}

fn test_of(operator: Operator, operand: &Operand) -> Test {
    use Operator::*;
    let negated = matches!(operator, NotEquals | NotLike | NotIn | IsNot | WasNot | WasNotIn);
    if *operand == Operand::Empty {
        return Test::Empty { negated };
    }
    match operator {
        Equals | NotEquals | In | NotIn | Is | IsNot => Test::OneOf { negated },
        Like | NotLike => Test::Like { negated },
        Less | LessOrEqual | Greater | GreaterOrEqual => Test::Order(operator),
        Was | WasNot | WasIn | WasNotIn | Changed => Test::OneOf { negated },
    }
}

/// The test of one row, where the negation is about all of them.
fn positive(test: Test) -> Test {
    match test {
        Test::OneOf { .. } => Test::OneOf { negated: false },
        Test::Like { .. } => Test::Like { negated: false },
        Test::Empty { .. } => Test::Empty { negated: false },
        Test::Order(operator) => Test::Order(operator),
    }
}

pub(crate) fn symbol(operator: Operator) -> &'static str {
    match operator {
        Operator::Less => " < ",
        Operator::LessOrEqual => " <= ",
        Operator::Greater => " > ",
        Operator::GreaterOrEqual => " >= ",
        Operator::Equals
        | Operator::NotEquals
        | Operator::Like
        | Operator::NotLike
        | Operator::In
        | Operator::NotIn
        | Operator::Is
        | Operator::IsNot
        | Operator::Was
        | Operator::WasNot
        | Operator::WasIn
        | Operator::WasNotIn
        | Operator::Changed => " = ",
    }
}

/// A field whose values are references.
fn member(test: Test, place: &Place, set: &Set) -> Fragment {
    let (negated, empty, holds) = match (test, place) {
        (Test::Empty { negated }, _) => (negated, true, None),
        (Test::OneOf { negated } | Test::Like { negated }, Place::Column(column) | Place::Rows(_, column)) => {
            (negated, set.empty, set.holds(column))
        }
        (Test::Order(_), Place::Column(column) | Place::Rows(_, column)) => (false, false, set.holds(column)),
    };
    match place {
        Place::Column(column) => {
            let mut filled = Fragment::new(column);
            filled.push(if negated { " IS NOT NULL" } else { " IS NULL" });
            match (negated, holds) {
                (true, Some(holds)) => {
                    filled.push(" AND NOT ").add(holds);
                    let mut out = Fragment::new("(");
                    out.add(filled).push(")");
                    out
                }
                (true, None) => filled,
                (false, Some(holds)) if empty => Fragment::any(vec![holds, filled]),
                (false, Some(holds)) => holds,
                (false, None) if empty => filled,
                (false, None) => Fragment::never(),
            }
        }
        Place::Rows(rows, _) => match (negated, holds) {
            (true, holds) => in_rows(true, rows, holds),
            (false, Some(holds)) => {
                let found = in_rows(false, rows, Some(holds));
                if empty { Fragment::any(vec![found, in_rows(false, rows, None)]) } else { found }
            }
            (false, None) if empty => in_rows(false, rows, None),
            (false, None) => Fragment::never(),
        },
    }
}

/// A parent that the caller does not see counts as none.
fn parent_member(test: Test, set: &Set) -> Fragment {
    let seen = |word: &'static str| {
        let mut out = Fragment::new("i.parent_id");
        out.push(word).seen();
        out
    };
    let none = || Fragment::any(vec![Fragment::new("i.parent_id IS NULL"), seen(" NOT IN ")]);
    match (test, set.holds("i.parent_id")) {
        (Test::Empty { negated: false }, _) => none(),
        (Test::Empty { negated: true }, _) | (Test::OneOf { negated: true }, None) => seen(" IN "),
        (Test::OneOf { negated: true }, Some(holds)) => {
            let mut not = Fragment::new("NOT ");
            not.add(holds);
            Fragment::all(vec![seen(" IN "), not])
        }
        (_, Some(holds)) => {
            let visible = Fragment::all(vec![seen(" IN "), holds]);
            if set.empty { Fragment::any(vec![visible, none()]) } else { visible }
        }
        (_, None) if set.empty => none(),
        (_, None) => Fragment::never(),
    }
}

/// Links of these types, in one or any direction, with issues that the caller sees.
pub(crate) fn linked(test: Test, any: &[i64], outward: &[i64], inward: &[i64]) -> Fragment {
    let mut rows = Fragment::new("SELECT 1 FROM jira_issue_link x WHERE ((x.source_id = i.id AND x.destination_id IN ");
    rows.seen().push(") OR (x.destination_id = i.id AND x.source_id IN ").seen().push("))");
    let mut of_type = Fragment::new("(x.type_id IN ");
    of_type.ids(any).push(" OR (x.source_id = i.id AND x.type_id IN ").ids(outward);
    of_type.push(") OR (x.destination_id = i.id AND x.type_id IN ").ids(inward).push("))");
    in_rows(matches!(test, Test::OneOf { negated: true }), &rows, Some(of_type))
}

/// Some row matches; or, negated: there are rows and none matches. Without `matches`: there is no row, or negated: there are some.
fn in_rows(negated: bool, rows: &Fragment, matches: Option<Fragment>) -> Fragment {
    let exists = |word: &'static str, matches: Option<Fragment>| {
        let mut out = Fragment::new(word);
        out.add(rows.clone());
        if let Some(matches) = matches {
            out.push(" AND ").add(matches);
        }
        out.push(")");
        out
    };
    match (negated, matches) {
        (false, Some(matches)) => exists("EXISTS (", Some(matches)),
        (true, Some(matches)) => Fragment::all(vec![exists("EXISTS (", None), exists("NOT EXISTS (", Some(matches))]),
        (false, None) => exists("NOT EXISTS (", None),
        (true, None) => exists("EXISTS (", None),
    }
}

/// Values that are words of their own, compared in lower case.
fn words(name: &str, test: Test, rows: Fragment, column: &'static str, values: &[Value]) -> Result<Fragment, Stop> {
    let mut parts = Vec::with_capacity(values.len());
    for value in values {
        let text = match value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Function { name: function, .. } => {
                return said(functions::invalid(function, name));
            }
            Value::Empty => continue,
        };
        let mut part = Fragment::new(column);
        part.push(" = LOWER(").bind(text.to_lowercase()).push(")");
        parts.push(part);
    }
    let empty = values.contains(&Value::Empty) || matches!(test, Test::Empty { negated: false });
    let matches = (!parts.is_empty()).then(|| Fragment::any(parts));
    Ok(match (test, matches) {
        (Test::OneOf { negated: true } | Test::Empty { negated: true }, matches) => in_rows(true, &rows, matches),
        (_, Some(matches)) => {
            let found = in_rows(false, &rows, Some(matches));
            if empty { Fragment::any(vec![found, in_rows(false, &rows, None)]) } else { found }
        }
        (_, None) if empty => in_rows(false, &rows, None),
        (_, None) => Fragment::never(),
    })
}

/// Compares whole numbers.
fn numbers(
    column: &Fragment,
    test: Test,
    values: &[Value],
    read: impl Fn(&Value) -> Result<i64, Stop>,
) -> Result<Fragment, Stop> {
    let mut bounds = Vec::with_capacity(values.len());
    for value in values.iter().filter(|value| **value != Value::Empty) {
        bounds.push(read(value)?);
    }
    Ok(ranges(column, test, values, &bounds, |bound| bound.saturating_add(1)))
}

/// Compares a column of numbers, where `end` says up to which number, exclusively, a number counts as equal.
fn ranges(column: &Fragment, test: Test, values: &[Value], bounds: &[i64], end: impl Fn(i64) -> i64) -> Fragment {
    match test {
        Test::Empty { negated } => null_test(column, negated),
        Test::Order(operator) => {
            let mut out = column.clone();
            out.push(symbol(operator)).bind(bounds.first().copied().unwrap_or_default());
            out
        }
        Test::OneOf { negated } | Test::Like { negated } => {
            let parts = bounds.iter().map(|bound| {
                let mut part = Fragment::new("(");
                part.add(column.clone())
                    .push(" >= ")
                    .bind(*bound)
                    .push(" AND ")
                    .add(column.clone())
                    .push(" < ")
                    .bind(end(*bound));
                part.push(")");
                part
            });
            one_of(column, negated, values, parts.collect())
        }
    }
}

/// Compares a column of texts that sort as they should.
fn texts(column: &'static str, test: Test, values: &[Value], bounds: &[String]) -> Fragment {
    match test {
        Test::Empty { negated } => null_test(&Fragment::new(column), negated),
        Test::Order(operator) => {
            let mut out = Fragment::new(column);
            out.push(" {{c}}").push(symbol(operator)).bind(bounds.first().cloned().unwrap_or_default());
            out
        }
        Test::OneOf { negated } | Test::Like { negated } => {
            let parts = bounds.iter().map(|bound| {
                let mut part = Fragment::new(column);
                part.push(" = ").bind(bound.as_str());
                part
            });
            one_of(&Fragment::new(column), negated, values, parts.collect())
        }
    }
}

fn null_test(column: &Fragment, negated: bool) -> Fragment {
    let mut out = column.clone();
    out.push(if negated { " IS NOT NULL" } else { " IS NULL" });
    out
}

fn one_of(column: &Fragment, negated: bool, values: &[Value], mut parts: Vec<Fragment>) -> Fragment {
    if !negated {
        if values.contains(&Value::Empty) {
            parts.push(null_test(column, false));
        }
        return Fragment::any(parts);
    }
    let filled = null_test(column, true);
    if parts.is_empty() {
        return filled;
    }
    let mut out = Fragment::new("(");
    out.add(filled).push(" AND NOT ").add(Fragment::any(parts)).push(")");
    out
}

/// Compares the numbers of a custom field. They are kept as text; the guard around the cast keeps PostgreSQL from reading rows of
/// other fields as numbers.
fn number_matches(name: &str, field: i64, test: Test, values: &[Value]) -> Result<Fragment, Stop> {
    let mut parts = Vec::with_capacity(values.len());
    let word = match test {
        Test::Order(operator) => symbol(operator),
        Test::OneOf { .. } | Test::Like { .. } | Test::Empty { .. } => " = ",
    };
    for value in values {
        let text = match value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => text.trim().to_owned(),
            Value::Function { name: function, .. } => {
                return said(format!(
                    "A value provided by the function '{function}' for the field '{name}' is not a valid number."
                ));
            }
            Value::Empty => continue,
        };
        let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) else {
            return said(format!("The value '{text}' for the field '{name}' is not a valid number."));
        };
        let mut part = Fragment::new("CASE WHEN x.field_id = ");
        part.bind(field).push(" THEN CAST(x.value AS DOUBLE PRECISION) END").push(word);
        part.push("CAST(CAST(").bind(number.to_string()).push(" AS TEXT) AS DOUBLE PRECISION)");
        parts.push(part);
    }
    Ok(Fragment::any(parts))
}

/// More urgent is greater; the most urgent has the first position.
fn priorities_by_order(operator: Operator, ids: &[i64]) -> Set {
    let word = match operator {
        Operator::Less => " > (",
        Operator::LessOrEqual => " >= (",
        Operator::Greater => " < (",
        _ => " <= (",
    };
    let mut select = Fragment::new("(SELECT p.id FROM jira_priority p WHERE p.position");
    select.push(word).push("SELECT MIN(q.position) FROM jira_priority q WHERE q.id IN ").ids(ids).push("))");
    Set { selects: vec![select], ..Set::default() }
}

fn text_of(name: &str, values: &[Value]) -> Result<Option<String>, Stop> {
    match values.first() {
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Function { name: function, .. }) => {
            said(format!("The field '{name}' is unable to parse the text given to it by the function '{function}'."))
        }
        Some(Value::Empty) | None => Ok(None),
    }
}

fn text_query(name: &str, values: &[Value]) -> Result<TextQuery, Stop> {
    parsed_text(name, &text_of(name, values)?.unwrap_or_default())
}

fn parsed_text(name: &str, text: &str) -> Result<TextQuery, Stop> {
    if text.trim().is_empty() {
        return said(format!("The field '{name}' does not support searching for an empty string."));
    }
    match TextQuery::parse(text) {
        Some(query) => Ok(query),
        None => said(format!("Unable to parse the text '{text}' for field '{name}'.")),
    }
}
