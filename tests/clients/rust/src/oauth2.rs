//! crates.io `oauth2`: code with PKCE, refresh and revocation. The crate takes any HTTP client; this one is a plain socket.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, PkceCodeChallenge, RedirectUrl,
    RefreshToken, RequestTokenError, RevocationUrl, Scope, StandardRevocableToken, TokenResponse, TokenUrl,
};
use serde_json::Value as Json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One request over a connection of its own.
fn exchange(method: &str, url: &str, headers: &[(String, String)], body: &[u8]) -> Result<(u16, Vec<(String, String)>, Vec<u8>), Failure> {
    // The crate sends revocations to https addresses alone, and this demo has no TLS: as if a proxy stood before it.
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).ok_or("an http address")?;
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, path.to_owned()));
    let mut stream = TcpStream::connect(host)?;
    let mut head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let at = all.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no answer")?;
    let text = String::from_utf8_lossy(&all[..at]).into_owned();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status")?.parse()?;
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Ok((status, headers.collect(), all[at + 4..].to_vec()))
}

fn http(request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let (status, headers, body) = exchange(request.method().as_str(), &request.uri().to_string(), &headers, request.body())
        .map_err(std::io::Error::other)?;
    let mut response = oauth2::http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).map_err(std::io::Error::other)
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits: Vec<u8> = bytes.by_ref().take(2).collect();
            out.push(u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or(b'?'));
        } else {
            out.push(byte);
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Signs a person in, approves, and returns the callback's parameters.
fn consent(base: &str, person: &Json, url: &str) -> Result<HashMap<String, String>, Failure> {
    let text = |json: &Json, name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let form = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| format!("{n}={}", encode(v))).collect::<Vec<_>>().join("&");
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let posted = [header("content-type", "application/x-www-form-urlencoded"), header("origin", base)];
    let login = form(&[("email", &text(person, "email")), ("password", &text(person, "password"))]);
    let (_, headers, _) = exchange("POST", &format!("{base}/login"), &posted, login.as_bytes())?;
    let found = |headers: &[(String, String)], name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let cookie = found(&headers, "set-cookie").ok_or("no session")?.split(';').next().unwrap_or_default().to_owned();
    let with_cookie = [&posted[..], &[header("cookie", &cookie)]].concat();
    let (status, _, page) = exchange("GET", url, &with_cookie[1..], b"")?;
    let page = String::from_utf8_lossy(&page).into_owned();
    let value = |name: &str| {
        let rest = page.split_once(&format!("name=\"{name}\" value=\"")).map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    if status != 200 {
        return Err(format!("consent page: {status}").into());
    }
    let decision = form(&[("form_token", &value("form_token")), ("request", &value("request")), ("site", &value("site")), ("decision", "approve")]);
    let (_, headers, _) = exchange("POST", &format!("{base}/authorize"), &with_cookie, decision.as_bytes())?;
    let location = found(&headers, "location").ok_or("not sent back")?;
    let query = location.split_once('?').map_or("", |(_, query)| query);
    Ok(query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), decode(v))).collect())
}

fn main() -> Result<(), Failure> {
    let card: Json = serde_json::from_str(&std::fs::read_to_string(std::env::args().nth(1).ok_or("a card")?)?)?;
    let text = |pointer: &str| card.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let base = text("/base_url");
    let cleo = card["people"].as_array().into_iter().flatten().find(|person| person["name"] == "Cleo").ok_or("Cleo")?;
    let app = |secret: &str| -> Result<_, Failure> {
        Ok(BasicClient::new(ClientId::new(text("/oauth_app/client_id")))
            .set_client_secret(ClientSecret::new(secret.to_owned()))
            .set_auth_uri(AuthUrl::new(text("/endpoints/authorize"))?)
            .set_token_uri(TokenUrl::new(text("/endpoints/token"))?)
            .set_redirect_uri(RedirectUrl::new(text("/oauth_app/redirect_uri"))?)
            .set_revocation_url(RevocationUrl::new(text("/endpoints/token").replace("http://", "https://").replace("/oauth/token", "/oauth/revoke"))?))
    };
    let client = app(&text("/oauth_app/client_secret"))?;
    let mut failed = 0;
    let mut check = |name: &str, result: Result<(), Failure>| match result {
        Ok(()) => println!("ok oauth2 {name}"),
        Err(error) => {
            failed += 1;
            println!("FAIL oauth2 {name}: {error}");
        }
    };
    let issue = format!("{}/rest/api/3/issue/DEMO-1", text("/endpoints/gateway"));
    let read = |token: &str| -> Result<u16, Failure> {
        Ok(exchange("GET", &issue, &[("authorization".to_owned(), format!("Bearer {token}"))], b"")?.0)
    };
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scopes(["read:jira-work", "offline_access"].map(|scope| Scope::new(scope.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    let callback = consent(&base, cleo, url.as_str())?;
    let mut code = Some((callback.get("code").cloned().unwrap_or_default(), verifier));
    let mut tokens = None;
    check("code flow with PKCE", (|| {
        if callback.get("state") != Some(state.secret()) {
            return Err("another state".into());
        }
        let (code, verifier) = code.take().ok_or("a code")?;
        let answer = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier).request(&http)?;
        if read(answer.access_token().secret())? != 200 {
            return Err("the token does not work".into());
        }
        tokens = Some(answer);
        Ok(())
    })());
    let mut refresh = tokens.as_ref().and_then(|tokens| tokens.refresh_token()).cloned().ok_or("a refresh token")?;
    check("refresh", (|| {
        let answer = client.exchange_refresh_token(&refresh).request(&http)?;
        let next = answer.refresh_token().cloned().ok_or("no refresh token")?;
        if next.secret() == refresh.secret() || read(answer.access_token().secret())? != 200 {
            return Err("not rotated, or does not work".into());
        }
        refresh = next;
        Ok(())
    })());
    check("errors are parsed", (|| {
        let kind = |result: Result<_, RequestTokenError<std::io::Error, oauth2::basic::BasicErrorResponse>>| match result {
            Err(RequestTokenError::ServerResponse(error)) => Ok(error.error().clone()),
            Err(other) => Err(Failure::from(other.to_string())),
            Ok(oauth2::StandardTokenResponse::<oauth2::EmptyExtraTokenFields, oauth2::basic::BasicTokenType> { .. }) => Err("expected a refusal".into()),
        };
        let wrong = kind(client.exchange_refresh_token(&RefreshToken::new("x".to_owned())).request(&http))?;
        let stranger = kind(app("wrong")?.exchange_refresh_token(&refresh).request(&http))?;
        match (wrong, stranger) {
            (BasicErrorResponseType::InvalidGrant, BasicErrorResponseType::InvalidClient) => Ok(()),
            other => Err(format!("{other:?}").into()),
        }
    })());
    check("revocation", (|| {
        client.revoke_token(StandardRevocableToken::RefreshToken(refresh.clone()))?.request(&http)?;
        match client.exchange_refresh_token(&refresh).request(&http) {
            Err(RequestTokenError::ServerResponse(_)) => Ok(()),
            _ => Err("still works".into()),
        }
    })());
    std::process::exit(if failed > 0 { 10 } else { 0 });
}
