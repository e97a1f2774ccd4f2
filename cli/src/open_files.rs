//! Room for many sockets: the process's limit of open files, raised as far as the system lets it.

use anyhow::{Result, bail};

/// Raises the limit until `needed` files can be open at once, or to whatever is allowed.
///
/// # Errors
/// When the system allows fewer: how many it allows, and the mend.
#[cfg(unix)]
pub fn allow(needed: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None stands for no limit.
    let Some(now) = current.filter(|&now| now < needed) else {
        return Ok(());
    };
    let raised = maximum.map_or(needed, |most| most.min(needed)).max(now);
    let limit = Rlimit {
        current: Some(raised),
        maximum,
    };
    let allowed = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => raised,
        Err(_) => now,
    };
    if allowed < needed {
        bail!(
            "{needed} open files are needed, and the system allows this process {allowed}; raise \
             its hard limit, e.g. with `ulimit -Hn {needed}` as the superuser or LimitNOFILE= in \
             a systemd unit"
        );
    }
    Ok(())
}

/// Elsewhere sockets are not counted as files.
#[cfg(not(unix))]
pub fn allow(_needed: u64) -> Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_already_is_enough() {
        allow(1).unwrap();
    }

    #[test]
    fn more_than_the_system_allows_is_refused_with_the_mend() {
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let Some(maximum) = maximum else {
            return;
        };
        let error = allow(maximum + 1).unwrap_err().to_string();
        assert!(
            error.contains(&format!("allows this process {maximum}")),
            "{error}"
        );
        assert!(error.contains("ulimit -Hn"), "{error}");
    }
}
