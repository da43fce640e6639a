//! What can go wrong while a throw-away server is started or told something.
//! Knows nothing of any particular engine.

use std::io;

/// Why a throw-away server could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not on this machine.
    #[error("{binary} is not installed (Debian: apt-get install {package})")]
    Missing {
        /// The program looked for.
        binary: String,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// The server ended, or did not answer in time.
    #[error("{server} {why}; end of its log:\n{log}")]
    NotReady {
        /// The program.
        server: String,
        /// `exited` or `did not answer within …`.
        why: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// A client program answered with an error.
    #[error("{command}: {message}")]
    Command {
        /// The command line, without secrets.
        command: String,
        /// Standard error, or what was printed instead.
        message: String,
    },
    /// The system refused a file, a process or a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Adds what was being done to an [`io::Error`].
pub fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> ServerError {
    let what = what.into();
    move |source| ServerError::Io { what, source }
}
