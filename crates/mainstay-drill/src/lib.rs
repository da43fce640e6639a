//! The outage drill: load through a storage while a backend is broken, watched, healed, verified and reported.
//! It must not know the command line; what is broken and how stands behind [`world::World`].
//!
//! - [`scenario`]: what is broken, for how long, under which load, and what must hold.
//! - [`machine`]: the phases, as a pure state machine.
//! - [`world`]: what can be broken, and how it is healed.
//! - [`run`]: one drill from its first server to its report.
//! - [`report`]: what was measured and judged, as data, HTML, JUnit XML and a comparison.
//! - [`session`]: a drill on throw-away servers, from their start to their end.
//! - [`live`]: a drill on a storage that serves, its fault injected inside Mainstay.
//! - [`looped`]: the loop test: many reads in a row across a restart.
#![warn(missing_docs)]

pub mod advice;
pub mod histogram;
pub mod judge;
pub mod live;
pub mod load;
pub mod locks;
pub mod looped;
pub mod machine;
pub mod report;
pub mod run;
pub mod scenario;
pub mod session;
pub mod subject;
pub mod watch;
pub mod world;
