//! Where I am signed in, and ending what should not go on.

use askama::Template;
use portcullis_accounts::session;
use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply};
use portcullis_model::{Problem, SessionId};

use crate::device;
use crate::frame::{self, Frame, Section};
use crate::moment::Moment;
use crate::sign_in;

/// Sessions shown, the newest first.
const SESSIONS_SHOWN_MAX: i64 = 200;

pub(crate) struct Session {
    pub id: i64,
    pub current: bool,
    pub device: String,
    pub user_agent: String,
    pub address: String,
    pub created: Moment,
    pub expires: Moment,
}

#[derive(Template)]
#[template(path = "sessions.html")]
pub(crate) struct SessionsPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub sessions: Vec<Session>,
    pub others: usize,
    pub revoke_token: String,
    pub revoke_others_token: String,
}

async fn list(mut cx: Ctx<op::ConsoleSessions>, input: Input) -> Outcome<op::ConsoleSessions> {
    let user = cx.user()?;
    let now = cx.now();
    let own = cx.caller().session().map(|session| session.id.0);
    let sql = "SELECT id, user_agent, address, created_at_ms, expires_at_ms FROM account_session
                WHERE user_id = $1 AND expires_at_ms > $2 ORDER BY created_at_ms DESC, id DESC LIMIT $3";
    let rows = cx.tx().query(sql, &[user.0.into(), now.0.into(), SESSIONS_SHOWN_MAX.into()]).await?;
    let mut sessions = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: i64 = row.get("id")?;
        let user_agent: String = row.get("user_agent")?;
        sessions.push(Session {
            id,
            current: own == Some(id),
            device: device::name(&user_agent),
            user_agent,
            address: row.get("address")?,
            created: Moment::of(row.get("created_at_ms")?, now.0),
            expires: Moment::of(row.get("expires_at_ms")?, now.0),
        });
    }
    sessions.sort_by_key(|session| !session.current);
    let page = SessionsPage {
        frame: Frame::of(&cx, Section::Sessions),
        notice: frame::notice(input.query("done")),
        others: sessions.iter().filter(|session| !session.current).count(),
        sessions,
        revoke_token: cx.caller().form_token("consoleRevokeSession"),
        revoke_others_token: cx.caller().form_token("consoleRevokeOtherSessions"),
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn revoke(mut cx: Ctx<op::ConsoleRevokeSession>, input: Input) -> Outcome<op::ConsoleRevokeSession> {
    let user = cx.user()?;
    let none = || Problem::not_found("There is no such session. It may have ended already.");
    let id = SessionId(input.param("sessionId").parse().map_err(|_| none())?);
    if !session::end_own(cx.tx(), user, id).await? {
        return Err(none());
    }
    cx.audit(format!("session:{id}"), None, None);
    cx.changed(Entity::Session(id));
    if cx.caller().session().is_some_and(|session| session.id == id) {
        return cx.done(sign_in::signed_out(&input));
    }
    cx.done(Reply::see_other("/account/sessions?done=session-ended"))
}

async fn revoke_others(
    mut cx: Ctx<op::ConsoleRevokeOtherSessions>,
    _: Input,
) -> Outcome<op::ConsoleRevokeOtherSessions> {
    let user = cx.user()?;
    let own = cx.caller().session().map(|session| session.id);
    let ended = session::end_of(cx.tx(), user, own).await?;
    ended.iter().for_each(|id| cx.changed(Entity::Session(*id)));
    let target = format!("user:{}", cx.caller().account_id().unwrap_or_default());
    cx.audit(target, None, Some(serde_json::json!({"sessionsEnded": ended.len()})));
    cx.done(Reply::see_other("/account/sessions?done=others-ended"))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(revoke);
    handlers.on(revoke_others);
}
