//! What became of an app's webhooks: for administrators of the site, and for the developer of an OAuth 2.0 app.

use askama::Template;
use portcullis_apps::oauth::client;
use portcullis_apps::webhook::log;
use portcullis_authz::{Operation, op};
use portcullis_guard::{Ctx, Handlers, Input, OpMode, Outcome, Reply, WebhookOwner};
use portcullis_model::{AppGrantId, AppId, Problem};
use serde_json::json;

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

pub(crate) struct DeliveryLine {
    pub id: i64,
    pub at: Moment,
    pub event: String,
    pub state: String,
    pub note: String,
    pub next: Option<Moment>,
    pub settled: bool,
}

#[derive(Template)]
#[template(path = "deliveries.html")]
pub(crate) struct DeliveriesPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub name: String,
    pub back: String,
    pub path: String,
    pub lines: Vec<DeliveryLine>,
    pub token: String,
}

/// Whose deliveries a page shows.
struct Subject {
    owner: WebhookOwner,
    name: String,
    back: String,
    path: String,
    section: Section,
    operation: &'static str,
}

async fn page<O: Operation>(cx: &mut Ctx<O>, input: &Input, subject: Subject) -> Result<Reply, Problem>
where
    O::Mode: OpMode,
{
    let now = cx.now();
    let all = log::deliveries(cx.tx(), subject.owner).await?;
    let page = DeliveriesPage {
        frame: Frame::of(cx, subject.section),
        notice: frame::notice(input.query("done")),
        lines: all
            .into_iter()
            .map(|delivery| DeliveryLine {
                id: delivery.id,
                at: Moment::of(delivery.created_at_ms, now.0),
                state: match (delivery.status.as_str(), delivery.attempts) {
                    ("delivered", 1) => "Delivered".to_owned(),
                    ("delivered", n) => format!("Delivered at attempt {n}"),
                    ("failed", 1) => "Failed".to_owned(),
                    ("failed", n) => format!("Failed {n} times"),
                    (_, 0) => "Under way".to_owned(),
                    (_, n) => format!("Failed {n} times so far"),
                },
                event: delivery.event,
                note: delivery.note,
                next: delivery.due_at_ms.filter(|due| *due > now.0).map(|due| Moment::of(due, now.0)),
                settled: delivery.due_at_ms.is_none(),
            })
            .collect(),
        token: cx.caller().form_token(subject.operation),
        name: subject.name,
        back: subject.back,
        path: subject.path,
    };
    frame::page(&page)
}

type OfConnect = op::ConsoleConnectDeliveries;
async fn of_connect(mut cx: Ctx<OfConnect>, input: Input) -> Outcome<OfConnect> {
    let owner = log::connect_owner(cx.view(), &input)?;
    let key = input.param("appKey");
    let name = cx.view().with(|snapshot| snapshot.connect().app_named(key).map(|app| app.name.clone()));
    let subject = Subject {
        owner,
        name: name.unwrap_or_default(),
        back: "/admin/connect-apps".to_owned(),
        path: format!("/admin/connect-apps/{key}/deliveries"),
        section: Section::Admin,
        operation: "consoleConnectRedeliver",
    };
    let reply = page(&mut cx, &input, subject).await?;
    cx.done(reply)
}

type AgainConnect = op::ConsoleConnectRedeliver;
async fn again_connect(mut cx: Ctx<AgainConnect>, input: Input) -> Outcome<AgainConnect> {
    let view = cx.view().clone();
    let owner = log::connect_owner(&view, &input)?;
    let id = log::redeliver(cx.tx(), &view, owner, &input).await?;
    cx.audit(format!("webhook_delivery:{id}"), None, Some(json!({"again": true})));
    cx.done(Reply::see_other(format!("/admin/connect-apps/{}/deliveries?done=sent-again", input.param("appKey"))))
}

/// The grant is of no matter to whose messages they are.
const fn oauth_owner(client: AppId) -> WebhookOwner {
    WebhookOwner::Oauth { client, grant: AppGrantId(0) }
}

type OfOauth = op::ConsoleOauthDeliveries;
async fn of_oauth(mut cx: Ctx<OfOauth>, input: Input) -> Outcome<OfOauth> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    let subject = Subject {
        owner: oauth_owner(app.id),
        back: format!("/console/apps/{}", app.id),
        path: format!("/console/apps/{}/deliveries", app.id),
        name: app.name,
        section: Section::Developer,
        operation: "consoleOauthRedeliver",
    };
    let reply = page(&mut cx, &input, subject).await?;
    cx.done(reply)
}

type AgainOauth = op::ConsoleOauthRedeliver;
async fn again_oauth(mut cx: Ctx<AgainOauth>, input: Input) -> Outcome<AgainOauth> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    let id = log::redeliver(cx.tx(), &view, oauth_owner(app.id), &input).await?;
    cx.audit(format!("webhook_delivery:{id}"), None, Some(json!({"again": true})));
    cx.done(Reply::see_other(format!("/console/apps/{}/deliveries?done=sent-again", app.id)))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(of_connect);
    handlers.on(again_connect);
    handlers.on(of_oauth);
    handlers.on(again_oauth);
}
