//! A Forge app for tests: a manifest and one file of code, deployed as the command line would.

use std::io::Write;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::world::{Answer, World};

const API: &str = "/api/portcullis/v1/forge";

/// An app that was deployed.
pub struct ForgeApp {
    /// Its id.
    pub id: String,
    manifest: Json,
}

/// An archive of these files.
///
/// # Panics
/// When it cannot be made, which it has no reason to.
pub fn archive(files: &[(&str, &[u8])]) -> Bytes {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("a file in an archive");
        zip.write_all(content).expect("its content");
    }
    zip.finish().expect("an archive").into_inner().into()
}

/// A manifest with an issue panel `panel` and a web trigger `hook`, both in `index`.
pub fn manifest(scopes: &[&str], egress: &[&str]) -> Json {
    json!({
        "modules": {
            "jira:issuePanel": [{"key": "panel", "title": "Panel", "resolver": {"function": "run"}}],
            "webtrigger": [{"key": "hook", "function": "hook"}],
            "function": [{"key": "run", "handler": "index.run"}, {"key": "hook", "handler": "index.hook"}],
        },
        "permissions": {"scopes": scopes, "external": {"fetch": {"backend": egress}}},
    })
}

impl ForgeApp {
    /// Registers an app of Ben's.
    ///
    /// # Panics
    /// When the server does not let him.
    pub async fn register(world: &World, manifest: Json) -> Self {
        let made = world.by("Ben").post(&format!("{API}/apps"), json!({"name": "Test app"})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let mut app = Self { id: made.at("/id"), manifest: Json::Null };
        app.describe(manifest);
        app
    }

    /// Takes another manifest for the next deployment.
    pub fn describe(&mut self, mut manifest: Json) {
        if let Some(object) = manifest.as_object_mut() {
            let entry = object.entry("app").or_insert_with(|| json!({}));
            entry["id"] = format!("ari:cloud:ecosystem::app/{}", self.id).into();
        }
        self.manifest = manifest;
    }

    /// Uploads an archive and asks for its deployment.
    ///
    /// # Panics
    /// When the archive is not taken.
    pub async fn deploy_archive(&self, world: &World, archive: Bytes) -> Answer {
        let address =
            world.by("Ben").post(&format!("{API}/apps/{}/uploads", self.id), json!({})).await.at("/uploadUrl");
        let path = address.strip_prefix(crate::world::BASE_URL).expect("an address of this server");
        let sent = world.anonymous().send_bytes("PUT", path, Some("application/zip"), archive).await;
        assert_eq!(sent.status, 200, "{}", sent.text);
        let path = format!("{API}/apps/{}/environments/default/deployments", self.id);
        world.by("Ben").post(&path, json!({"artifactUrl": address})).await
    }

    /// Deploys code as `index.cjs`.
    ///
    /// # Panics
    /// As [`ForgeApp::deploy_archive`].
    pub async fn deploy(&self, world: &World, code: &str) -> Answer {
        let manifest = self.manifest.to_string();
        let archive = archive(&[("manifest.yml", manifest.as_bytes()), ("index.cjs", code.as_bytes())]);
        self.deploy_archive(world, archive).await
    }

    /// Deploys code and has Ada install it. The installation's id.
    ///
    /// # Panics
    /// When either is refused.
    pub async fn installed(world: &World, manifest: Json, code: &str) -> (Self, String) {
        let app = Self::register(world, manifest).await;
        let deployed = app.deploy(world, code).await;
        assert_eq!(deployed.at("/status"), "DONE", "{}", deployed.text);
        let made = app.install(world, "Ada").await;
        assert_eq!(made.status, 201, "{}", made.text);
        (app, made.at("/id"))
    }

    /// Somebody asks for its installation.
    pub async fn install(&self, world: &World, who: &str) -> Answer {
        world
            .by(who)
            .post(&format!("{API}/installations"), json!({"appId": self.id, "environmentKey": "default"}))
            .await
    }

    /// Its log, the newest first, as its developer sees it.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn log(&self, world: &World) -> Vec<Json> {
        world.forge.flush(world.gateway.guard()).await;
        let log = world.by("Ben").get(&format!("{API}/apps/{}/environments/default/logs", self.id)).await;
        assert_eq!(log.status, 200, "{}", log.text);
        log.json()["values"].as_array().cloned().unwrap_or_default()
    }
}

/// Somebody uses an app's panel on an issue: what its function returned, or why not.
pub async fn invoke(world: &World, who: &str, installation: &str, issue: Option<&str>, payload: Json) -> Answer {
    let body = json!({"moduleKey": "panel", "issue": issue, "payload": payload});
    world.by(who).post(&format!("{API}/installations/{installation}/invoke"), body).await
}
