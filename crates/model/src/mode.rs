//! What an operation may do to the database, as types.

/// Reads only; its transaction has no way to write.
#[derive(Clone, Copy, Debug)]
pub struct Read;

/// Writes data, but changes nobody's rights.
#[derive(Clone, Copy, Debug)]
pub struct Write;

/// Changes rights (people, groups, roles, schemes, credentials): runs alone and raises the policy revision.
#[derive(Clone, Copy, Debug)]
pub struct Policy;

/// The same three as values, for the operation table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModeKind {
    /// See [`Read`].
    Read,
    /// See [`Write`].
    Write,
    /// See [`Policy`].
    Policy,
}

/// Ties each mode type to its value.
pub trait HasModeKind: Send + Sync + 'static {
    /// The value for this type.
    const KIND: ModeKind;
}

impl HasModeKind for Read {
    const KIND: ModeKind = ModeKind::Read;
}
impl HasModeKind for Write {
    const KIND: ModeKind = ModeKind::Write;
}
impl HasModeKind for Policy {
    const KIND: ModeKind = ModeKind::Policy;
}
