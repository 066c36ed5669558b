//! From method and path to the row: the router is built from the table, so there is no route outside it.

use std::collections::HashMap;

use matchit::Router;
use portcullis_authz::{Area, Method, Row, op};
use portcullis_guard::ApiVersion;

/// What a path leads to.
pub(crate) enum Found {
    /// The row, its path parameters, and the version of the API in the path.
    Row(&'static Row, Vec<(String, String)>, ApiVersion),
    /// The path exists with other methods.
    OtherMethods(Vec<&'static str>),
    /// No such path.
    Nothing,
}

#[derive(Default)]
struct Endpoint {
    rows: Vec<(&'static Row, ApiVersion)>,
}

/// The route table.
pub(crate) struct Routes {
    router: Router<usize>,
    endpoints: Vec<Endpoint>,
}

impl Routes {
    /// Builds the routes of every row; `/rest/api/3` rows also answer to `/rest/api/2` and `/rest/api/latest`, `/rest/auth/1` ones to
    /// `/rest/auth/latest`.
    pub(crate) fn build() -> Self {
        let mut routes = Self { router: Router::new(), endpoints: Vec::new() };
        let mut known: HashMap<String, usize> = HashMap::new();
        for row in op::ROWS {
            match row.path.strip_prefix("/rest/api/3/").filter(|_| row.area == Area::Jira) {
                Some(rest) => {
                    for (segment, version) in [("3", ApiVersion::V3), ("2", ApiVersion::V2), ("latest", ApiVersion::V2)]
                    {
                        routes.add(&mut known, &format!("/rest/api/{segment}/{rest}"), row, version);
                    }
                }
                None => {
                    routes.add(&mut known, row.path, row, ApiVersion::V3);
                    if let Some(rest) = row.path.strip_prefix("/rest/auth/1/") {
                        routes.add(&mut known, &format!("/rest/auth/latest/{rest}"), row, ApiVersion::V3);
                    }
                }
            }
        }
        routes
    }

    fn add(&mut self, known: &mut HashMap<String, usize>, path: &str, row: &'static Row, version: ApiVersion) {
        // The router wants one name per place; the row keeps its own names.
        let by_place = by_place(path);
        let position = *known.entry(by_place.clone()).or_insert_with(|| {
            self.endpoints.push(Endpoint::default());
            let position = self.endpoints.len() - 1;
            self.router
                .insert(by_place, position)
                .expect("invariant: paths of the table are distinct once named by place");
            position
        });
        if let Some(endpoint) = self.endpoints.get_mut(position) {
            endpoint.rows.push((row, version));
        }
    }

    /// Finds the row of a normalised path.
    pub(crate) fn find(&self, method: &http::Method, path: &str) -> Found {
        let Ok(found) = self.router.at(path) else { return Found::Nothing };
        let Some(endpoint) = self.endpoints.get(*found.value) else { return Found::Nothing };
        let wanted = match *method {
            http::Method::GET | http::Method::HEAD => Some(Method::Get),
            http::Method::POST => Some(Method::Post),
            http::Method::PUT => Some(Method::Put),
            http::Method::DELETE => Some(Method::Delete),
            _ => None,
        };
        let row = endpoint.rows.iter().find(|(row, _)| Some(row.method) == wanted);
        match row {
            Some((row, version)) => {
                let names = row.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
                let params =
                    names.zip(found.params.iter()).map(|(name, (_, value))| (name.to_owned(), decode(value))).collect();
                Found::Row(row, params, *version)
            }
            None => {
                let mut methods: Vec<&'static str> = endpoint.rows.iter().map(|(row, _)| row.method.name()).collect();
                if methods.contains(&"GET") {
                    methods.push("HEAD");
                }
                methods.push("OPTIONS");
                Found::OtherMethods(methods)
            }
        }
    }
}

fn by_place(path: &str) -> String {
    let mut place = 0;
    let parts: Vec<String> = path
        .split('/')
        .map(|part| {
            if part.starts_with('{') {
                place += 1;
                format!("{{p{place}}}")
            } else {
                part.to_owned()
            }
        })
        .collect();
    parts.join("/")
}

fn decode(value: &str) -> String {
    percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()
}

/// A path in its plain form: runs of `/` are one, a `/` at the end does not count. `None` for a path that changes when it is
/// normalised further (`.`/`..`, also percent-encoded) or holds a control character: policy is matched on what was written.
pub(crate) fn normalise(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let plain = percent_encoding::percent_decode_str(part).decode_utf8().ok()?;
        if plain == "." || plain == ".." || plain.contains(['/', '\\']) || plain.chars().any(char::is_control) {
            return None;
        }
        out.push('/');
        out.push_str(part);
    }
    if out.is_empty() {
        out.push('/');
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Found, Routes, normalise};

    thread_local!(static ROUTES: Routes = Routes::build());

    #[test]
    fn every_row_is_reached_by_its_own_path() {
        let routes = Routes::build();
        for row in portcullis_authz::op::ROWS {
            let method = row.method.name().parse().expect("a method");
            match routes.find(&method, row.path) {
                Found::Row(found, ..) => assert_eq!(found.id, row.id),
                _ => panic!("{} {} is not reached", row.method.name(), row.path),
            }
        }
    }

    #[test]
    fn literal_segments_win_over_parameters() {
        let routes = Routes::build();
        let Found::Row(row, params, _) = routes.find(&http::Method::GET, "/rest/api/2/project/search") else {
            panic!()
        };
        assert_eq!((row.id, params.len()), ("searchProjects", 0));
        let Found::Row(row, params, _) = routes.find(&http::Method::GET, "/rest/api/latest/project/DEMO") else {
            panic!()
        };
        assert_eq!((row.id, params[0].1.as_str()), ("getProject", "DEMO"));
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_matched_without_harm(path in "/\\PC{0,120}") {
            if let Some(plain) = normalise(&path) {
                proptest::prop_assert_eq!(normalise(&plain), Some(plain.clone()), "normalising is stable");
                let _ = ROUTES.with(|routes| matches!(routes.find(&http::Method::GET, &plain), Found::Nothing));
            }
        }
    }

    #[test]
    fn a_path_that_normalises_to_another_is_refused() {
        for path in ["/rest/../x", "/rest/./x", "/%2e%2e/x", "/a%2fb", "/a%5cb", "/a%00", "/%ff"] {
            assert_eq!(normalise(path), None, "{path}");
        }
        assert_eq!(normalise("//rest///api/").as_deref(), Some("/rest/api"));
    }
}
