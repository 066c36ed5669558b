//! The deployment's key file: 32 random bytes as 64 hexadecimal digits, readable by its owner only.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use portcullis_crypto::{Entropy, KeyId, SealingKey, SealingKeys, SystemEntropy, hex};

/// Reads the key file.
pub(crate) fn read(path: &Path) -> anyhow::Result<SealingKeys> {
    let mode = fs::metadata(path)
        .with_context(|| format!("the key file `{}` cannot be read", path.display()))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        bail!("the key file `{}` can be read by others: run chmod 600 on it", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("the key file `{}` cannot be read", path.display()))?;
    let secret =
        parse(text.trim()).with_context(|| format!("`{}` does not hold 64 hexadecimal digits", path.display()))?;
    let key = SealingKey::new(KeyId(1), &secret)?;
    Ok(SealingKeys::new(key))
}

/// Makes the key file if there is none.
pub(crate) fn create_if_absent(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let entropy: &dyn Entropy = &SystemEntropy::new();
    let secret: [u8; 32] = entropy.array();
    write_private(path, &format!("{}\n", hex(&secret)))
}

/// Writes a file that only its owner can read, in one step.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    }
    let unfinished = path.with_extension("unfinished");
    // One that was left behind may have other rights, which opening it would keep.
    let _ = fs::remove_file(&unfinished);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .with_context(|| format!("cannot write `{}`", unfinished.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(())
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in out.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}
