//! What the unmodified command line of Forge asks the vendor's gateway for, answered by the management API: each field below is a
//! translation, and whoever asks may do through it what they may do there.

use graphql_parser::query::Field;
use portcullis_apps::edge::{Call, Reaches};
use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, View};
use portcullis_model::Problem;
use serde_json::{Map, Value as Json, json};

use super::{Asked, answer_name};
use crate::Forge;
use crate::manifest::Manifest;
use crate::wire::bare;

const BASE: &str = "/api/portcullis/v1/forge";

/// Versions that an environment shows when nothing else is asked for.
const VERSIONS: usize = 20;

/// Why a field has no value: status, and a sentence.
struct Failed {
    status: u16,
    message: String,
}

impl Failed {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn json(&self) -> Json {
        let kind = match self.status {
            401 | 403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "CONFLICT",
            501 => "NOT_IMPLEMENTED",
            _ => "BAD_REQUEST",
        };
        json!({"message": self.message, "extensions": {"errorType": kind, "statusCode": self.status}})
    }
}

type Answered = Result<Json, Failed>;

/// One document's caller.
struct Asking<'a> {
    forge: &'a Forge,
    view: &'a View,
}

impl Asking<'_> {
    async fn call(&self, method: http::Method, path: &str, body: Option<Json>) -> Answered {
        let (_, edge) = self.forge.serving().map_err(|_| Failed::new(503, "The server is starting."))?;
        let answer = edge
            .answer(Call {
                caller: self.view.caller().clone(),
                reaches: Reaches::Management,
                method,
                path: format!("{BASE}{path}"),
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: body.map(|body| body.to_string().into()).unwrap_or_default(),
            })
            .await;
        let json: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status < 300 {
            return Ok(json);
        }
        let messages =
            json.get("errorMessages").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        let fields =
            json.get("errors").and_then(Json::as_object).into_iter().flatten().filter_map(|(_, text)| text.as_str());
        let words = messages.chain(fields).collect::<Vec<_>>().join(" ");
        let words = match (words.is_empty(), answer.status) {
            (false, _) => words,
            (true, 401 | 403) => "You may not do this here; an administrator of the site may.".to_owned(),
            (true, status) => format!("The server answered {status}."),
        };
        Err(Failed::new(answer.status, words))
    }

    async fn get(&self, path: &str) -> Answered {
        self.call(http::Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Json) -> Answered {
        self.call(http::Method::POST, path, Some(body)).await
    }

    fn cloud_id(&self) -> String {
        self.view.with(|snapshot| snapshot.settings.cloud_id.clone())
    }
}

fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn word<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// The path of an environment, by what a document calls app and key.
fn environment_path(app: &str, key: &str) -> String {
    format!("/apps/{}/environments/{}", segment(bare(app)), segment(key))
}

/// What a mutation answers.
fn mutated(done: Answered, value: impl FnOnce(Json) -> Json) -> Json {
    let mut out = Map::new();
    match done {
        Ok(json) => {
            out.insert("success".to_owned(), true.into());
            out.insert("errors".to_owned(), Json::Null);
            out.insert("statusCode".to_owned(), 200.into());
            out.extend(value(json).as_object().cloned().unwrap_or_default());
        }
        Err(failed) => {
            out.insert("success".to_owned(), false.into());
            out.insert("errors".to_owned(), json!([failed.json()]));
            out.insert("statusCode".to_owned(), failed.status.into());
            out.insert("message".to_owned(), failed.message.into());
        }
    }
    out.into()
}

fn ari_of_app(uuid: &str) -> String {
    format!("ari:cloud:ecosystem::app/{uuid}")
}

/// What a version lets an app do, as the command line shows it for consent.
fn permissions(manifest: &Json) -> Json {
    let Ok(manifest) = Manifest::parse(&manifest.to_string()) else { return json!([{"scopes": [], "egress": []}]) };
    let scopes: Vec<Json> = manifest.scopes.iter().map(|scope| json!({"key": scope})).collect();
    let egress: Vec<Json> = match manifest.egress.is_empty() {
        true => Vec::new(),
        false => vec![json!({"type": "FETCH_BACKEND_SIDE", "addresses": manifest.egress})],
    };
    json!([{"scopes": scopes, "egress": egress}])
}

fn version_json(version: &Json, latest: bool) -> Json {
    let manifest = version.get("manifest").cloned().unwrap_or_default();
    json!({
        "id": version.get("id"),
        "version": version.get("version"),
        "isLatest": latest,
        "requiredProducts": [],
        "permissions": permissions(&manifest),
        "migrationKeys": {"jira": null, "confluence": null},
        "createdAt": version.get("createdAtMs").map(Json::to_string),
        "updatedAt": version.get("createdAtMs").map(Json::to_string),
    })
}

fn environment_json(environment: &Json, shown: usize) -> Json {
    let versions: Vec<Json> = environment
        .get("versions")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, version)| version_json(version, at == 0))
        .collect();
    let first = versions.last().and_then(|version| version.get("createdAt").cloned());
    let shown: Vec<Json> = versions.into_iter().take(shown).collect();
    let edges: Vec<Json> = shown.iter().map(|node| json!({"node": node})).collect();
    json!({
        "id": environment.get("id"),
        "key": environment.get("key"),
        "type": environment.get("type"),
        "createdAt": first,
        "versions": {"nodes": shown, "edges": edges},
    })
}

impl Asking<'_> {
    async fn app<'a>(&self, asked: &Asked<'a>, field: &Field<'a, String>) -> Answered {
        let id = asked.arguments(field);
        let path = format!("/apps/{}", segment(bare(word(&id, "/id"))));
        let app = self.get(&path).await?;
        let environments = app.get("environments").and_then(Json::as_array).cloned().unwrap_or_default();
        let mut out = json!({
            "id": ari_of_app(word(&app, "/id")),
            "name": app.get("name"),
            "description": "",
            "appFeatures": [],
            "createdBy": {"name": app.pointer("/owner/displayName"), "accountId": app.pointer("/owner/accountId")},
            "environments": environments.iter().map(|one| environment_json(one, VERSIONS)).collect::<Vec<_>>(),
            "environmentsPage": {
                "nodes": environments.iter().map(|one| environment_json(one, VERSIONS)).collect::<Vec<_>>(),
                "pageInfo": {"hasNextPage": false, "endCursor": null},
                "totalCount": environments.len(),
            },
        });
        if let (Some(child), Some(out)) = (asked.child(field, "environmentByKey"), out.as_object_mut()) {
            let key = asked.arguments(child);
            let key = word(&key, "/key");
            let found = environments.iter().find(|environment| word(environment, "/key") == key);
            let shown =
                asked.child(child, "versions").and_then(|versions| asked.arguments(versions).get("first")?.as_u64());
            let shown = shown.and_then(|shown| usize::try_from(shown).ok()).unwrap_or(VERSIONS);
            let mut environment = found.map(|found| environment_json(found, shown)).unwrap_or_default();
            if let (Some(_), Some(object)) = (asked.child(child, "variables"), environment.as_object_mut()) {
                let listed = self.get(&format!("{}/variables", environment_path(word(&app, "/id"), key))).await?;
                object.insert("variables".to_owned(), listed.get("values").cloned().unwrap_or_default());
            }
            out.insert("environmentByKey".to_owned(), environment);
        }
        Ok(out)
    }

    async fn installations(&self, filter: &Json) -> Answered {
        let app = word(filter, "/apps/ids/0").to_owned();
        let listed = self.get(&format!("/installations?appId={}", segment(bare(&app)))).await?;
        let kinds = filter.pointer("/appEnvironments/types").and_then(Json::as_array);
        let ids = filter.pointer("/appInstallations/ids").and_then(Json::as_array);
        let wanted = |node: &&Json| {
            kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind == &node["environmentType"]))
                && ids.is_none_or(|ids| ids.iter().filter_map(Json::as_str).any(|id| bare(id) == word(node, "/id")))
        };
        let cloud_id = self.cloud_id();
        let nodes: Vec<Json> = listed.get("values").and_then(Json::as_array).into_iter().flatten().filter(wanted).map(|node| {
            let version = |version: &str, manifest: &str, latest: &Json| json!({
                "version": node.get(version), "isLatest": latest, "permissions": permissions(node.get(manifest).unwrap_or(&Json::Null)),
            });
            let latest = node.get("isLatest").cloned().unwrap_or_default();
            json!({
                "id": node.get("id"),
                "installationContext": format!("ari:cloud:jira:{cloud_id}:workspace/{cloud_id}"),
                "secondaryInstallationContexts": [],
                "appEnvironment": {"id": node.get("environmentId"), "key": node.get("environmentKey"), "type": node.get("environmentType")},
                "appEnvironmentVersion": version("version", "manifest", &latest),
                "computeVersion": version("codeVersion", "codeManifest", &latest),
            })
        }).collect();
        Ok(json!({"nodes": nodes, "totalCount": nodes.len(), "pageInfo": {"hasNextPage": false, "endCursor": null}}))
    }

    /// The installation of an app's environment, named by key or id.
    async fn installation(&self, app: &str, environment: &str) -> Answered {
        let listed = self.get(&format!("/installations?appId={}", segment(bare(app)))).await?;
        let found = listed.get("values").and_then(Json::as_array).into_iter().flatten().find(|one| {
            word(one, "/environmentKey") == environment || word(one, "/environmentId") == bare(environment)
        });
        found.cloned().ok_or_else(|| Failed::new(404, "The app is not installed in this environment."))
    }

    async fn deployment(&self, arguments: &Json) -> Answered {
        let path = format!(
            "/apps/{}/deployments/{}",
            segment(bare(word(arguments, "/appId"))),
            segment(word(arguments, "/id"))
        );
        let found = self.get(&path).await?;
        let status = found.get("status").cloned().unwrap_or_default();
        let errors: Vec<&str> =
            found.get("errors").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        let details = match errors.is_empty() {
            true => Json::Null,
            // Of the codes that the command line knows, one whose message it prints.
            false => json!({"code": "MANIFEST_VALIDATION_FAILED", "message": errors.join("\n"), "fields": null}),
        };
        let now = self.view.now().0.to_string();
        let event = |description: &str, new_status: &Json| {
            json!({
                "description": description,
                "events": [{"__typename": "AppDeploymentTransitionEvent", "stepName": description, "createdAt": now, "newStatus": new_status}],
            })
        };
        Ok(json!({
            "status": status,
            "errorDetails": details,
            "stages": [event("Validating manifest", &status), event("Snapshotting functions", &status), event("Deploying to environment", &status)],
        }))
    }

    async fn logs(&self, arguments: &Json) -> Answered {
        let number = |name: &str, otherwise: u64| arguments.get(name).and_then(Json::as_u64).unwrap_or(otherwise);
        let since =
            word(arguments, "/query/dates/start").parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond);
        let environment = word(arguments, "/environmentId");
        let path =
            format!("{}/logs?maxResults=500&since={since}", environment_path(word(arguments, "/appId"), environment));
        let found = self.get(&path).await?;
        let mut lines = Vec::new();
        for invocation in found.get("values").and_then(Json::as_array).into_iter().flatten() {
            let line = |level: &Json, text: &Json, at: &Json| {
                json!({
                    "appId": arguments.get("appId"), "appVersion": invocation.get("version"), "message": text, "environmentId": environment,
                    "invocationId": invocation.get("invocationId"), "functionKey": invocation.get("functionKey"), "lvl": level,
                    "error": null, "other": "[]", "ts": at,
                })
            };
            for one in invocation.get("lines").and_then(Json::as_array).into_iter().flatten() {
                lines.push(line(&one["level"], &one["text"], &one["at"]));
            }
        }
        let total = lines.len();
        let (offset, limit) = (number("offset", 0), number("limit", 100));
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        let shown: Vec<Json> = lines.into_iter().skip(skipped).take(usize::try_from(limit).unwrap_or(0)).collect();
        let more = skipped.saturating_add(shown.len()) < total;
        Ok(json!({
            "appLogs": shown, "hasNextPage": more, "totalLogs": total,
            "appLogsFilterBuckets": {"containers": [], "services": [], "functionKeys": []},
        }))
    }

    async fn create_app(&self, input: &Json) -> Json {
        let made = self.post("/apps", json!({"name": input.get("name")})).await;
        mutated(made, |app| {
            let environments = app.get("environments").and_then(Json::as_array).into_iter().flatten();
            let keys: Vec<Json> = environments.map(|environment| json!({"key": environment.get("key")})).collect();
            json!({"app": {"id": ari_of_app(word(&app, "/id")), "environments": keys}})
        })
    }

    async fn resource_uploads(&self, input: &Json) -> Answered {
        let mut urls = Vec::new();
        for key in input.get("resourceKeys").and_then(Json::as_array).into_iter().flatten() {
            let made =
                self.post(&format!("/apps/{}/uploads", segment(bare(word(input, "/appId")))), Json::Null).await?;
            urls.push(json!({"uploadUrl": made.get("uploadUrl"), "uploadFormData": {"key": key}}));
        }
        Ok(json!({"preSignedUrls": urls, "uploadId": "not-shown"}))
    }

    /// The value of a field at the top; `None` when this server has none of this name.
    async fn root<'a>(&self, asked: &Asked<'a>, field: &Field<'a, String>) -> Option<Answered> {
        let arguments = asked.arguments(field);
        let input = arguments.get("input").cloned().unwrap_or_default();
        let app = word(&input, "/appId");
        Some(match field.name.as_str() {
            "me" => {
                let name = self.view.with(|snapshot| {
                    snapshot.person(self.view.caller().user()?).map(|person| person.display_name.clone())
                });
                Ok(
                    json!({"user": {"name": name, "accountStatus": "active", "accountId": self.view.caller().account_id()}}),
                )
            }
            "app" => self.app(asked, field).await,
            "createApp" => Ok(self.create_app(&input).await),
            "createAppDeploymentUrl" => {
                let made = self.post(&format!("/apps/{}/uploads", segment(bare(app))), Json::Null).await;
                Ok(mutated(made, |made| json!({"deploymentUrl": made.get("uploadUrl")})))
            }
            "createHostedResourceUploadUrl" => Ok(mutated(self.resource_uploads(&input).await, |made| made)),
            "createAppDeployment" => {
                let path = format!("{}/deployments", environment_path(app, word(&input, "/environmentKey")));
                let body = json!({"artifactUrl": input.get("artifactUrl"), "majorVersion": input.get("majorVersion")});
                Ok(mutated(self.post(&path, body).await, |made| json!({"deployment": {"id": made.get("id")}})))
            }
            "appDeployment" => self.deployment(&arguments).await,
            "tenantContexts" => {
                let (cloud_id, site) = (self.cloud_id(), self.view.addresses().site.clone());
                let host = site.split("://").nth(1).unwrap_or(&site).to_owned();
                Ok(json!([{"cloudId": cloud_id, "hostName": host, "activationIdByProduct": {"active": cloud_id}}]))
            }
            "installApp" => {
                let body = json!({"appId": app, "environmentKey": input.get("environmentKey"), "versionId": input.get("versionId")});
                Ok(mutated(self.post("/installations", body).await, |made| json!({"taskId": made.get("id")})))
            }
            "upgradeApp" => Ok(match self.installation(app, word(&input, "/environmentKey")).await {
                Ok(found) => {
                    let path = format!("/installations/{}/upgrade", segment(word(&found, "/id")));
                    let body = json!({"versionId": input.get("versionId")});
                    mutated(self.post(&path, body).await, |made| json!({"taskId": made.get("id")}))
                }
                Err(failed) => mutated(Err(failed), |json| json),
            }),
            "uninstallApp" => {
                let id = bare(word(&input, "/installationId")).to_owned();
                let gone = self.call(http::Method::DELETE, &format!("/installations/{}", segment(&id)), None).await;
                Ok(mutated(gone, |_| json!({"taskId": id})))
            }
            // Installing is done when it is answered.
            "appInstallationTask" => Ok(json!({"state": "COMPLETE", "errors": null})),
            "setAppEnvironmentVariable" => {
                let environment =
                    environment_path(word(&input, "/environment/appId"), word(&input, "/environment/key"));
                let path = format!("{environment}/variables/{}", segment(word(&input, "/environmentVariable/key")));
                let body = json!({"value": input.pointer("/environmentVariable/value"), "encrypt": input.pointer("/environmentVariable/encrypt")});
                Ok(mutated(self.call(http::Method::PUT, &path, Some(body)).await, |json| json))
            }
            "deleteAppEnvironmentVariable" => {
                let environment =
                    environment_path(word(&input, "/environment/appId"), word(&input, "/environment/key"));
                let path = format!("{environment}/variables/{}", segment(word(&input, "/key")));
                Ok(mutated(self.call(http::Method::DELETE, &path, None).await, |json| json))
            }
            "appLogsWithMetaData" => self.logs(&arguments).await,
            "extensionContext" => self.extensions(asked, field).await,
            "createWebTriggerUrl" => Ok(match self.installation(app, word(&input, "/envId")).await {
                Ok(found) => {
                    let path = format!("/installations/{}/web-triggers", segment(word(&found, "/id")));
                    let made = self.post(&path, json!({"triggerKey": input.get("triggerKey")})).await;
                    mutated(made, |made| json!({"url": made.get("url"), "message": ""}))
                }
                Err(failed) => mutated(Err(failed), |json| json),
            }),
            "webTriggerUrlsByAppContext" => {
                match self.installation(word(&arguments, "/appId"), word(&arguments, "/envId")).await {
                    Ok(found) => {
                        let path = format!("/installations/{}/web-triggers", segment(word(&found, "/id")));
                        self.get(&path).await.map(|listed| listed.get("values").cloned().unwrap_or_default())
                    }
                    Err(failed) => Err(failed),
                }
            }
            _ => return None,
        })
    }

    async fn extensions<'a>(&self, asked: &Asked<'a>, field: &Field<'a, String>) -> Answered {
        let child = asked.child(field, "extensions");
        let arguments = child.map(|child| asked.arguments(child)).unwrap_or_default();
        let named = arguments.get("filter").and_then(Json::as_array).into_iter().flatten();
        let mut named = named
            .filter(|filter| word(filter, "/type") == "APP_ID_ENVIRONMENT_ID")
            .map(|filter| word(filter, "/value/0").to_owned());
        let named = named.next_back().unwrap_or_default();
        // `app:environment`, each a UUID, or an ARI with colons of its own.
        let (app, environment) = named.rsplit_once(':').unwrap_or_default();
        let found = self.installation(app, environment).await?;
        let manifest = Manifest::parse(&found.get("codeManifest").cloned().unwrap_or_default().to_string());
        let modules = manifest.map(|manifest| manifest.modules).unwrap_or_default();
        let keys: Vec<Json> = modules
            .iter()
            .filter(|module| module.kind == "webtrigger")
            .map(|module| json!({"key": module.key}))
            .collect();
        Ok(json!({"extensions": keys}))
    }

    /// A field below `ecosystem`.
    async fn ecosystem(&self, name: &str, arguments: &Json) -> Option<Answered> {
        let input = arguments.get("input").cloned().unwrap_or_default();
        let app = segment(bare(word(&input, "/appAri")));
        Some(match name {
            "appInstallationsByApp" => self.installations(arguments.get("filter").unwrap_or(&Json::Null)).await,
            "createAppEnvironment" => {
                let made =
                    self.post(&format!("/apps/{app}/environments"), json!({"key": input.get("environmentKey")})).await;
                Ok(mutated(made, |_| json!({})))
            }
            "deleteAppEnvironment" => {
                let path = environment_path(word(&input, "/appAri"), word(&input, "/environmentKey"));
                Ok(mutated(self.call(http::Method::DELETE, &path, None).await, |_| json!({})))
            }
            // There is one developer space: this site.
            "devConsole" => {
                let space = self.cloud_id();
                Ok(json!({
                    "getDeveloperSpaceWithLinkingAccess": [space],
                    "getDeveloperSpaceDetails": {"results": [{"developerSpaceId": space, "error": null, "details": {"name": "This site"}}]},
                    "getAppEnforcementMetadata": {"metadata": {"developerSpaceId": space, "ccpEntitlementId": null}, "error": null},
                }))
            }
            _ => return None,
        })
    }
}

async fn ask(forge: Forge, view: View, input: Input) -> Result<Json, Problem> {
    let asked = match Asked::read(input.json()) {
        Ok(asked) => asked,
        Err(message) => return Ok(json!({"data": null, "errors": [Failed::new(400, message).json()]})),
    };
    let asking = Asking { forge: &forge, view: &view };
    let mut data = Map::new();
    let mut errors = Vec::new();
    for field in asked.fields() {
        if field.name == "ecosystem" {
            let mut below = Map::new();
            for child in asked.children(field) {
                match asking.ecosystem(&child.name, &asked.arguments(child)).await {
                    Some(Ok(value)) => {
                        below.insert(answer_name(child).to_owned(), asked.project(child, &value));
                    }
                    other => errors.push(refused(&child.name, other)),
                }
            }
            data.insert(answer_name(field).to_owned(), below.into());
            continue;
        }
        match asking.root(&asked, field).await {
            Some(Ok(value)) => {
                data.insert(answer_name(field).to_owned(), asked.project(field, &value));
            }
            other => {
                data.insert(answer_name(field).to_owned(), Json::Null);
                errors.push(refused(&field.name, other));
            }
        }
    }
    Ok(if errors.is_empty() { json!({"data": data}) } else { json!({"data": data, "errors": errors}) })
}

fn refused(name: &str, answered: Option<Answered>) -> Json {
    match answered {
        Some(Err(failed)) => failed.json(),
        _ => Failed::new(501, format!("`{name}` is not built on this server.")).json(),
    }
}

async fn answer(cx: Ctx<op::ForgeGraphql>, _: Input, _: Forge, answer: Json) -> Outcome<op::ForgeGraphql> {
    cx.done(Reply::json(answer))
}

pub(super) fn handlers(handlers: &mut Handlers, forge: &Forge) {
    handlers.on_prepared(forge, ask, answer);
}
