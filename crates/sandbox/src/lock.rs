//! Locks a worker in: after [`lock_in`] its process reaches no file, no network and no other process, runs no other program, and
//! makes no memory executable. What the kernel does not offer is reported; without the system-call filter nothing runs.

use serde::{Deserialize, Serialize};

/// Which walls stand around a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// System calls outside a short list kill the process (seccomp).
    pub system_calls: bool,
    /// No file, no socket, no signal to a process outside (Landlock).
    pub files: bool,
    /// Empty network, own process and user numbers (namespaces).
    pub namespaces: bool,
    /// Pages are restored one by one (`PAGEMAP_SCAN`); otherwise all are dropped after each invocation, which is slower.
    pub page_restore: bool,
}

impl Walls {
    /// Each layer by its name, and whether it stands: what `doctor`, `/readyz?verbose` and the audit log say.
    pub const fn layers(self) -> [(&'static str, bool); 4] {
        [
            ("system-call filter", self.system_calls),
            ("Landlock", self.files),
            ("namespaces", self.namespaces),
            ("page restore", self.page_restore),
        ]
    }
}

/// The largest private memory of a worker, beyond what its program has reserved when it starts: an allocator may take a lot
/// at once that it never uses.
const DATA_BYTES_MAX: u64 = 768 << 20;
const OPEN_FILES_MAX: u64 = 16;

/// What can be given up before the engine is loaded.
pub(crate) fn harden() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let at_most = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Fsize, at_most(0))?;
    setrlimit(Resource::Nofile, at_most(OPEN_FILES_MAX))?;
    #[cfg(target_os = "linux")]
    {
        setrlimit(Resource::Data, at_most(reserved_bytes().saturating_add(DATA_BYTES_MAX)))?;
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
        rustix::thread::set_no_new_privs(true)?;
    }
    Ok(())
}

/// Private memory that this process has asked for so far, in bytes.
#[cfg(target_os = "linux")]
fn reserved_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(target_os = "linux")]
pub(crate) use linux::lock_in;

#[cfg(not(target_os = "linux"))]
pub(crate) fn lock_in(page_restore: bool) -> Result<Walls, String> {
    Ok(Walls { system_calls: false, files: false, namespaces: false, page_restore })
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
    };
    use rustix::thread::UnshareFlags;
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        TargetArch,
    };

    use super::Walls;
    use crate::memory::PAGEMAP_SCAN;

    /// What a worker still does: exchange messages, use the memory it has, wait, tell the time, and end.
    const ALLOWED: &[libc::c_long] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_sendto,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_ppoll,
        libc::SYS_munmap,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_tgkill,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// # Errors
    /// The system-call filter cannot be set up; then nothing may run.
    pub(crate) fn lock_in(page_restore: bool) -> Result<Walls, String> {
        // SAFETY: the process has one thread and shares no file descriptors table with another.
        let namespaces = unsafe {
            rustix::thread::unshare_unsafe(
                UnshareFlags::NEWUSER
                    | UnshareFlags::NEWNET
                    | UnshareFlags::NEWIPC
                    | UnshareFlags::NEWUTS
                    | UnshareFlags::NEWNS
                    | UnshareFlags::NEWPID,
            )
        }
        .is_ok();
        let files = confine().is_some_and(|status| status != RulesetStatus::NotEnforced);
        filter().map_err(|error| format!("the system-call filter: {error}"))?;
        Ok(Walls { system_calls: true, files, namespaces, page_restore })
    }

    /// As much as this kernel knows of Landlock.
    fn confine() -> Option<RulesetStatus> {
        let newest = ABI::V6;
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(newest))
            .ok()?
            .handle_access(AccessNet::from_all(newest))
            .ok()?
            .scope(Scope::from_all(newest))
            .ok()?;
        Some(ruleset.create().ok()?.restrict_self().ok()?.ruleset)
    }

    fn filter() -> Result<(), Box<dyn std::error::Error>> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        // `poll` is a call of its own where the architecture has one.
        #[cfg(target_arch = "x86_64")]
        rules.insert(libc::SYS_poll, Vec::new());
        let argument =
            |index, operation, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, operation, value);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            let not_executable = argument(2, SeccompCmpOp::MaskedEq(u64::from(libc::PROT_EXEC.unsigned_abs())), 0)?;
            rules.insert(call, vec![SeccompRule::new(vec![not_executable])?]);
        }
        let scan = argument(1, SeccompCmpOp::Eq, PAGEMAP_SCAN)?;
        rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![scan])?]);
        let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
        let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?;
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter_all_threads(&program)?;
        Ok(())
    }
}
