//! What the crate of apps asks of others: accounts of apps, of the crates that own accounts, roles and schemes; and which queries may
//! restrict a webhook, of the crate that knows the query language.

use portcullis_apps::connect::{AppAccounts, Boxed, Reach, WebhookQueries};
use portcullis_guard::{Entity, Policy, Tx, View};
use portcullis_model::UserId;

pub(crate) struct Accounts;

impl AppAccounts for Accounts {
    fn make<'a>(&'a self, tx: &'a mut Tx<Policy>, view: &'a View, name: &'a str) -> Boxed<'a, UserId> {
        Box::pin(async move {
            let user = portcullis_accounts::app_user::make(tx, view, name).await?;
            portcullis_accounts::app_user::let_in(tx, user).await?;
            Ok(user)
        })
    }

    fn let_in<'a>(&'a self, tx: &'a mut Tx<Policy>, user: UserId, reach: Reach) -> Boxed<'a, Vec<Entity>> {
        Box::pin(async move {
            if reach.administers {
                portcullis_accounts::app_user::let_administer(tx, user).await?;
            }
            if reach.writes {
                return portcullis_jira::role::apps::let_in(tx, user).await;
            }
            Ok(Vec::new())
        })
    }

    fn set_active<'a>(&'a self, tx: &'a mut Tx<Policy>, user: UserId, active: bool) -> Boxed<'a, ()> {
        Box::pin(async move { Ok(portcullis_accounts::app_user::set_active(tx, user, active).await?) })
    }
}

pub(crate) struct Queries;

impl WebhookQueries for Queries {
    fn check(&self, jql: &str) -> Result<(), String> {
        let query = portcullis_jira::jql::parse(jql).map_err(|error| error.to_string())?;
        portcullis_jira::jql::webhook_problem(&query).map_or(Ok(()), Err)
    }
}
