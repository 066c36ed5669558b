//! The archive that the command line uploads: code, and the manifest. Everything in it is the developer's, or an attacker's.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

/// Largest archive, in bytes.
pub const BYTES_MAX: usize = 20 << 20;

/// All files together, unpacked, in bytes.
const UNPACKED_BYTES_MAX: u64 = 64 << 20;

const FILES_MAX: usize = 5_000;

/// What the platform brings itself, and what only a debugger reads.
const NOT_NEEDED: &[&str] = &["__forge__.cjs", "__forge_wrapper__.cjs", "__forge_use_local_wrapper.txt"];

/// What was in an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Archive {
    /// The text of the manifest.
    pub manifest: String,
    /// Texts by file name: code, and what the code may read.
    pub files: BTreeMap<String, String>,
}

/// Unpacks an archive.
///
/// # Errors
/// What is wrong with it, a sentence for the developer.
pub fn unpack(content: &[u8]) -> Result<Archive, String> {
    let broken = |error: &dyn std::fmt::Display| format!("The archive cannot be read: {error}.");
    let mut zip = zip::ZipArchive::new(Cursor::new(content)).map_err(|error| broken(&error))?;
    if zip.len() > FILES_MAX {
        return Err(format!("The archive holds more than {FILES_MAX} files."));
    }
    let mut left = UNPACKED_BYTES_MAX;
    let mut manifest = None;
    let mut files = BTreeMap::new();
    for at in 0..zip.len() {
        let file = zip.by_index(at).map_err(|error| broken(&error))?;
        let name = file.name().map_err(|error| broken(&error))?.into_owned();
        if file.is_dir() {
            continue;
        }
        let strange =
            name.starts_with('/') || name.contains(['\\', '\0', ':']) || name.split('/').any(|part| part == "..");
        if strange || file.is_symlink() {
            return Err(format!("The archive holds `{name}`, which is no file of an app."));
        }
        // The head may say anything about the size; what comes out is what counts.
        let mut bytes = Vec::new();
        file.take(left + 1).read_to_end(&mut bytes).map_err(|error| broken(&error))?;
        left = left
            .checked_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            .ok_or_else(|| format!("The files of the archive are larger than {UNPACKED_BYTES_MAX} bytes together."))?;
        let kept = !NOT_NEEDED.contains(&name.as_str()) && !name.ends_with(".map");
        match String::from_utf8(bytes) {
            Ok(text) if name == "manifest.yml" => manifest = Some(text),
            Ok(text) if kept => {
                if files.insert(name.clone(), text).is_some() {
                    return Err(format!("The archive holds `{name}` twice."));
                }
            }
            // What is no text cannot be read by an app here.
            Ok(_) | Err(_) => {}
        }
    }
    let manifest = manifest.ok_or_else(|| "The archive holds no manifest.yml.".to_owned())?;
    Ok(Archive { manifest, files })
}

/// The file of a handler among them.
pub fn file_of<'a>(files: &'a BTreeMap<String, String>, handler: &str) -> Option<&'a str> {
    [".cjs", ".js"]
        .iter()
        .find_map(|end| files.get_key_value(&format!("{handler}{end}")))
        .map(|(name, _)| name.as_str())
}
