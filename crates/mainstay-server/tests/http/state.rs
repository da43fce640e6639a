//! Status, control, events, health and metrics.
