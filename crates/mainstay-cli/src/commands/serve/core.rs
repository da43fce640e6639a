//! What a crash leaves behind: no image of the memory, which holds secrets and values.
//! It must not keep a person from wanting one.

#[cfg(target_os = "linux")]
use rustix::process::DumpableBehavior;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// With this in the environment the limit stays as it is.
const WANTED: &str = "MAINSTAY_CORE_DUMPS";

/// Sets the limit on core files to zero for this process; whoever may raise it can. A limit does not stop the kernel from
/// piping an image to a program (`kernel.core_pattern`), so that the process says besides that it is not to be dumped.
pub(super) fn leave_none() {
    if std::env::var_os(WANTED).is_some_and(|value| !value.is_empty() && value != "0") {
        return;
    }
    let none = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "the limit on core files cannot be set: a crash may write secrets to disk");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "dumps cannot be refused: a crash may give secrets to the program that collects them");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn neither_a_file_nor_a_pipe_gets_the_memory() {
        leave_none();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
