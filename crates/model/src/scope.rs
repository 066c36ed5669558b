//! OAuth 2.0 scopes and the Connect scopes.

use crate::scope_names::SCOPE_NAMES;

/// Words in the bit set; `SCOPE_NAMES` must fit.
const WORDS: usize = 4;

const _: () = assert!(SCOPE_NAMES.len() <= WORDS * 64, "scopes outgrew the set");

/// A set of the scopes that the operation table knows, classic and granular alike.
///
/// A name the table does not know is never in a set: it can grant nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet([u64; WORDS]);

impl ScopeSet {
    /// No scopes.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// A set from positions in [`SCOPE_NAMES`]; used by generated code.
    pub const fn from_positions(positions: &[u16]) -> Self {
        let mut words = [0; WORDS];
        let mut i = 0;
        while i < positions.len() {
            let position = positions[i] as usize;
            words[position / 64] |= 1 << (position % 64);
            i += 1;
        }
        Self(words)
    }

    /// Adds a scope by name; `false` when the table does not know it.
    pub fn insert(&mut self, name: &str) -> bool {
        match SCOPE_NAMES.binary_search(&name) {
            Ok(position) => {
                if let Some(word) = self.0.get_mut(position / 64) {
                    *word |= 1 << (position % 64);
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Whether every scope of `needed` is here. The empty set is covered by any set.
    pub const fn covers(&self, needed: &Self) -> bool {
        let mut i = 0;
        while i < WORDS {
            if needed.0[i] & !self.0[i] != 0 {
                return false;
            }
            i += 1;
        }
        true
    }

    /// The scopes that are in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut words = [0; WORDS];
        for (out, (mine, theirs)) in words.iter_mut().zip(self.0.iter().zip(other.0.iter())) {
            *out = mine & theirs;
        }
        Self(words)
    }

    /// The scopes that are in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut words = [0; WORDS];
        for (out, (mine, theirs)) in words.iter_mut().zip(self.0.iter().zip(other.0.iter())) {
            *out = mine | theirs;
        }
        Self(words)
    }

    /// A set of the names that the table knows; an unknown name adds nothing.
    pub fn of_names(names: &str) -> Self {
        let mut set = Self::EMPTY;
        for name in names.split(' ') {
            set.insert(name);
        }
        set
    }

    /// The scopes of `needed` that are not here.
    pub fn missing(&self, needed: &Self) -> Self {
        let mut words = [0; WORDS];
        for (out, (have, need)) in words.iter_mut().zip(self.0.iter().zip(needed.0.iter())) {
            *out = need & !have;
        }
        Self(words)
    }

    /// Names in the set, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        SCOPE_NAMES.iter().enumerate().filter_map(|(position, name)| {
            let word = self.0.get(position / 64)?;
            (word & (1 << (position % 64)) != 0).then_some(*name)
        })
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// Connect scopes. `Read < Write < Delete < ProjectAdmin < Admin` and each implies those before it; the last two stand alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnectScope {
    /// Any authenticated Connect app.
    None,
    /// Read.
    Read,
    /// Write, implies read.
    Write,
    /// Delete, implies write.
    Delete,
    /// Project administration, implies delete.
    ProjectAdmin,
    /// Administration, implies all before.
    Admin,
    /// Act for a user; stands alone.
    ActAsUser,
    /// Read e-mail addresses; stands alone.
    AccessEmailAddresses,
}

impl ConnectScope {
    /// Every scope.
    pub const ALL: [ConnectScope; 8] = [
        ConnectScope::None,
        ConnectScope::Read,
        ConnectScope::Write,
        ConnectScope::Delete,
        ConnectScope::ProjectAdmin,
        ConnectScope::Admin,
        ConnectScope::ActAsUser,
        ConnectScope::AccessEmailAddresses,
    ];

    /// The name in descriptors and tokens.
    pub const fn name(self) -> &'static str {
        match self {
            ConnectScope::None => "NONE",
            ConnectScope::Read => "READ",
            ConnectScope::Write => "WRITE",
            ConnectScope::Delete => "DELETE",
            ConnectScope::ProjectAdmin => "PROJECT_ADMIN",
            ConnectScope::Admin => "ADMIN",
            ConnectScope::ActAsUser => "ACT_AS_USER",
            ConnectScope::AccessEmailAddresses => "ACCESS_EMAIL_ADDRESSES",
        }
    }

    /// The place among those that imply each other; `None` for one that stands alone.
    pub const fn rank(self) -> Option<u8> {
        match self {
            ConnectScope::None => Some(0),
            ConnectScope::Read => Some(1),
            ConnectScope::Write => Some(2),
            ConnectScope::Delete => Some(3),
            ConnectScope::ProjectAdmin => Some(4),
            ConnectScope::Admin => Some(5),
            ConnectScope::ActAsUser | ConnectScope::AccessEmailAddresses => None,
        }
    }
}
