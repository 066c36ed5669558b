//! Rich text: one stored form, two dialects at the doors.
//!
//! Jira's v3 API carries descriptions and comments as Atlassian Document Format (ADF, a JSON tree), its v2 API as wiki
//! markup, and both show the same text. We store ADF. [`Document`] is made only by a door that checked
//! ([`Document::from_adf`]) or built ([`Document::from_wiki`]) the tree, so everything behind it may recurse and print
//! without asking again.
//!
//! Structure reference: <https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/>.

mod adf;
mod html;
mod text;
mod wiki_read;
mod wiki_write;

pub use adf::{ATTRIBUTE_DEPTH_MAX, Cause, InvalidDocument, MARKS_PER_NODE_MAX, NODE_COUNT_MAX, NODE_DEPTH_MAX};

use serde_json::Value;

/// A checked ADF document: `{"type":"doc","version":1,"content":[..]}` within the limits of this module.
///
/// Node types that we do not know are kept as they came; they are printed by what they contain.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(Value);

impl Document {
    /// The v3 door. Checks shape and limits, changes nothing.
    pub fn from_adf(value: Value) -> Result<Document, InvalidDocument> {
        adf::check(&value)?;
        Ok(Document(value))
    }

    /// The v2 door. Never fails: markup that is not understood stays as text. Markup that would make more than
    /// [`NODE_COUNT_MAX`] nodes is kept whole, as one code block.
    pub fn from_wiki(markup: &str) -> Document {
        Document(wiki_read::read(markup))
    }

    /// The document as v2 shows it. What wiki markup cannot say is flattened to what it can; reading the result back
    /// gives a document that prints the same.
    pub fn to_wiki(&self) -> String {
        wiki_write::write(self.content())
    }

    /// The document as HTML for `renderedFields` and `renderedBody`. All text is escaped; only `http`, `https`,
    /// `mailto` and relative links become an `href`, the others stay as their text.
    pub fn to_html(&self) -> String {
        html::write(self.content())
    }

    /// Plain text for search: one line per block.
    pub fn to_text(&self) -> String {
        text::write(self.content())
    }

    /// Whether there is nothing to see: no character but white space, and no picture, mention, card or rule.
    pub fn is_empty(&self) -> bool {
        text::is_empty(self.content())
    }

    /// Account ids of the mentioned people, each once, in the order of their first mention.
    pub fn mentions(&self) -> Vec<String> {
        text::mentions(self.content())
    }

    /// The ADF tree, as v3 shows it.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// The ADF tree, for storing.
    pub fn into_json(self) -> Value {
        self.0
    }

    fn content(&self) -> &[Value] {
        adf::content(&self.0)
    }
}

#[cfg(test)]
mod tests;
