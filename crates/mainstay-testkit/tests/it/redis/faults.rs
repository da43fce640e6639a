//! What the adapter says, and what it gives up, when servers die, hang, change roles or refuse.
//! Knows nothing of what the guard makes of it.

use super::*;
