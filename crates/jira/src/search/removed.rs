//! `GET` and `POST /search`, which Jira removed: decided like any operation, then 410 in Jira's words.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome};
use portcullis_model::{Problem, ProblemKind};

const WORDS: &str = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. \
                     A full migration guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046";

async fn get(_: Ctx<op::SearchForIssuesUsingJql>, _: Input) -> Outcome<op::SearchForIssuesUsingJql> {
    Err(Problem::new(ProblemKind::Gone, WORDS))
}

async fn post(_: Ctx<op::SearchForIssuesUsingJqlPost>, _: Input) -> Outcome<op::SearchForIssuesUsingJqlPost> {
    Err(Problem::new(ProblemKind::Gone, WORDS))
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(post);
}
