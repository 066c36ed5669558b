//! A certificate authority of this machine alone, for clients that insist on HTTPS and on host names that are not ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use crate::keys;

/// Where everything lies.
pub(crate) struct Files {
    /// For clients: what they have to trust.
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Files {
    pub(crate) fn of(folder: &Path) -> Self {
        Self {
            authority: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
        }
    }
}

/// Makes an authority and a certificate for these names, in a folder that only its owner reads. The authority's key is thrown away:
/// nobody can make another certificate with it, and a new one is a new authority.
pub(crate) fn make(folder: &Path, names: &[String]) -> anyhow::Result<Files> {
    let files = Files::of(folder);
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    let year = year_now();
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "Portcullis on this machine");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    authority.not_before = date_time_ymd(year - 1, 1, 1);
    authority.not_after = date_time_ymd(year + 2, 1, 1);
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut server = CertificateParams::new(names.to_vec())?;
    server.distinguished_name.push(DnType::CommonName, names.first().map_or("localhost", String::as_str));
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.not_before = date_time_ymd(year - 1, 1, 1);
    server.not_after = date_time_ymd(year + 2, 1, 1);
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let server_pem = server.signed_by(&server_key, &issuer)?.pem();
    keys::write_private(&files.key, &server_key.serialize_pem())?;
    keys::write_private(&files.certificate, &server_pem)?;
    keys::write_private(&files.authority, &authority_pem)?;
    Ok(files)
}

fn year_now() -> i32 {
    let days = portcullis_model::Clock::now(&portcullis_guard::SystemClock).0 / 86_400_000;
    i32::try_from(1970 + days / 365).unwrap_or(2026)
}
