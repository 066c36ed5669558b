//! GraphQL as far as the command line of Forge and older packages speak it: a document is read, each of its fields answered by the
//! management API or by storage, as the caller who asks, and what was not asked for is left out.

mod cli;
pub(crate) mod legacy_storage;

use graphql_parser::query::{
    Definition, Document, Field, OperationDefinition, Selection, SelectionSet, Value, parse_query,
};
use portcullis_guard::Handlers;
use serde_json::{Map, Value as Json, json};

use crate::Forge;

/// Longest document, in bytes, and how deep it may nest: the parser is recursive.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;
const DEPTH_MAX: usize = 40;

type Text = String;

/// A document with its variables.
pub(crate) struct Asked<'a> {
    document: Document<'a, Text>,
    variables: Json,
}

impl<'a> Asked<'a> {
    /// Reads `{query, variables}`.
    pub fn read(body: &'a Json) -> Result<Self, String> {
        let text = body.get("query").and_then(Json::as_str).ok_or("There is no query.")?;
        let opened = text.chars().scan(0usize, |depth, c| {
            match c {
                '{' | '[' | '(' => *depth += 1,
                '}' | ']' | ')' => *depth = depth.saturating_sub(1),
                _ => {}
            }
            Some(*depth)
        });
        if text.len() > DOCUMENT_BYTES_MAX || opened.max().unwrap_or(0) > DEPTH_MAX {
            return Err("The document is too large.".to_owned());
        }
        let document = parse_query::<Text>(text).map_err(|error| format!("The document cannot be read: {error}"))?;
        Ok(Self { document, variables: body.get("variables").cloned().unwrap_or_default() })
    }

    fn selection(&self) -> Option<&SelectionSet<'a, Text>> {
        self.document.definitions.iter().find_map(|definition| match definition {
            Definition::Operation(OperationDefinition::Query(query)) => Some(&query.selection_set),
            Definition::Operation(OperationDefinition::Mutation(mutation)) => Some(&mutation.selection_set),
            Definition::Operation(OperationDefinition::SelectionSet(set)) => Some(set),
            Definition::Operation(OperationDefinition::Subscription(_)) | Definition::Fragment(_) => None,
        })
    }

    /// The fields at the top.
    pub fn fields(&self) -> Vec<&Field<'a, Text>> {
        self.selection().map(|set| self.fields_of(set)).unwrap_or_default()
    }

    /// The fields of a selection, those of its fragments too.
    fn fields_of<'b>(&'b self, set: &'b SelectionSet<'a, Text>) -> Vec<&'b Field<'a, Text>> {
        let mut out = Vec::new();
        self.gather(set, &mut out, DEPTH_MAX);
        out
    }

    fn gather<'b>(&'b self, set: &'b SelectionSet<'a, Text>, out: &mut Vec<&'b Field<'a, Text>>, depth: usize) {
        // A fragment that holds itself ends here.
        let Some(depth) = depth.checked_sub(1) else { return };
        for selection in &set.items {
            match selection {
                Selection::Field(field) => out.push(field),
                Selection::InlineFragment(fragment) => self.gather(&fragment.selection_set, out, depth),
                Selection::FragmentSpread(spread) => {
                    let named = self.document.definitions.iter().find_map(|definition| match definition {
                        Definition::Fragment(fragment) if fragment.name == spread.fragment_name => Some(fragment),
                        Definition::Fragment(_) | Definition::Operation(_) => None,
                    });
                    if let Some(fragment) = named {
                        self.gather(&fragment.selection_set, out, depth);
                    }
                }
            }
        }
    }

    /// The arguments of a field, with the values of variables.
    pub fn arguments(&self, field: &Field<'a, Text>) -> Json {
        field.arguments.iter().map(|(name, value)| (name.clone(), self.value(value))).collect::<Map<_, _>>().into()
    }

    fn value(&self, value: &Value<'a, Text>) -> Json {
        match value {
            Value::Variable(name) => self.variables.get(name).cloned().unwrap_or_default(),
            Value::Int(number) => number.as_i64().into(),
            Value::Float(number) => json!(number),
            Value::String(text) | Value::Enum(text) => text.as_str().into(),
            Value::Boolean(value) => (*value).into(),
            Value::Null => Json::Null,
            Value::List(list) => list.iter().map(|value| self.value(value)).collect::<Vec<_>>().into(),
            Value::Object(object) => {
                object.iter().map(|(name, value)| (name.clone(), self.value(value))).collect::<Map<_, _>>().into()
            }
        }
    }

    /// What was asked for of a value.
    pub fn project(&self, field: &Field<'a, Text>, value: &Json) -> Json {
        match value {
            Json::Array(list) => list.iter().map(|value| self.project(field, value)).collect::<Vec<_>>().into(),
            Json::Object(object) if !field.selection_set.items.is_empty() => {
                let mut out = Map::new();
                for child in self.fields_of(&field.selection_set) {
                    let value = object.get(&child.name).map_or(Json::Null, |value| self.project(child, value));
                    out.insert(answer_name(child).to_owned(), value);
                }
                out.into()
            }
            other => other.clone(),
        }
    }

    /// The field below another one with this name.
    pub fn child<'b>(&'b self, field: &'b Field<'a, Text>, name: &str) -> Option<&'b Field<'a, Text>> {
        self.fields_of(&field.selection_set).into_iter().find(|child| child.name == name)
    }

    /// The fields below another one.
    pub fn children<'b>(&'b self, field: &'b Field<'a, Text>) -> Vec<&'b Field<'a, Text>> {
        self.fields_of(&field.selection_set)
    }
}

/// The name that a field has in the answer.
pub(crate) fn answer_name<'b>(field: &'b Field<'_, Text>) -> &'b str {
    field.alias.as_deref().unwrap_or(&field.name)
}

pub(super) fn handlers(handlers: &mut Handlers, forge: &Forge) {
    cli::handlers(handlers, forge);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Asked;

    #[test]
    fn what_was_not_asked_for_is_left_out() {
        let body = json!({
            "query": "query q($id: ID!) @optIn(to: \"x\") { app(id: $id, list: [1, {a: B}]) { ...F name: title ... on App { n } } } fragment F on App { id ...F }",
            "variables": {"id": "7"},
        });
        let asked = Asked::read(&body).expect("it can be read");
        let fields = asked.fields();
        let app = fields.first().expect("a field");
        assert_eq!(asked.arguments(app), json!({"id": "7", "list": [1, {"a": "B"}]}));
        assert_eq!(
            asked.project(app, &json!({"id": 1, "title": 2, "secret": 3})),
            json!({"id": 1, "name": 2, "n": null})
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for query in ["", "{", "{ a(", &"{a".repeat(100)] {
            assert!(Asked::read(&json!({"query": query})).is_err(), "{query}");
        }
    }
}
