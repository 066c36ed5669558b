//! Who am I: name, groups, and where programs reach the site.

use askama::Template;
use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome};

use crate::frame::{self, Frame, Section};

#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct AccountPage<'a> {
    pub frame: Frame,
    pub name: String,
    pub email: Option<String>,
    pub account_id: String,
    pub time_zone: String,
    pub site_admin: bool,
    pub has_access: bool,
    pub groups: Vec<String>,
    pub site_url: &'a str,
    pub gateway_url: String,
    pub second_factor: bool,
}

async fn account(mut cx: Ctx<op::ConsoleAccount>, input: Input) -> Outcome<op::ConsoleAccount> {
    let user = cx.user()?;
    let sql = "SELECT display_name, email, account_id, time_zone FROM account_user WHERE id = $1";
    let row = cx.tx().query_one(sql, &[user.0.into()]).await?;
    let second_factor = cx.view().with(|snapshot| snapshot.person(user).is_some_and(|person| person.second_factor));
    let (mut groups, site_admin, has_access, cloud_id) = cx.view().with(|snapshot| {
        let groups: Vec<String> = snapshot
            .policy
            .groups_of(user)
            .iter()
            .filter_map(|group| snapshot.group(*group).map(|(name, _)| name.clone()))
            .collect();
        let policy = &snapshot.policy;
        (groups, policy.is_site_admin(user), policy.has_access(user), snapshot.settings.cloud_id.clone())
    });
    groups.sort_unstable();
    let page = AccountPage {
        frame: Frame::of(&cx, Section::Account),
        name: row.get("display_name")?,
        email: row.get("email")?,
        account_id: row.get("account_id")?,
        time_zone: row.get("time_zone")?,
        site_admin,
        has_access,
        groups,
        site_url: input.base_url(),
        gateway_url: format!("{}/ex/jira/{cloud_id}", input.base_url()),
        second_factor,
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(account);
}
