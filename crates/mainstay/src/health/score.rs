//! Whether a backend that answers its probes serves less than well.
//! It must not know how the numbers are gathered, nor what follows.

use std::time::Duration;

/// Share of failed calls from which a backend is degraded; below half of it, it is well again.
const ERROR_RATE: f64 = 0.1;

/// What is known from calls and deep probes. Pure data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passive {
    /// Share of failures of late; `None` when there were too few calls.
    pub error_rate: Option<f64>,
    /// Mean latency of late; `None` when there were too few calls.
    pub latency: Option<Duration>,
    /// What counts as slow.
    pub slow_over: Duration,
    /// Whether the breaker is closed.
    pub breaker_closed: bool,
    /// What the last deep probe could not do.
    pub problem: Option<String>,
}

impl Passive {
    /// Why the backend is degraded; `None`: it is not. `was`: it is so far, and must be clearly well to be well again.
    pub fn degraded(&self, was: bool) -> Option<String> {
        let strictness = if was { 0.5 } else { 1.0 };
        if let Some(problem) = &self.problem {
            return Some(format!("probe: {problem}"));
        }
        if !self.breaker_closed {
            return Some("the breaker is not closed".to_owned());
        }
        if let Some(rate) = self.error_rate.filter(|rate| *rate >= ERROR_RATE * strictness) {
            return Some(format!("{:.0} % of calls fail", rate * 100.0));
        }
        let slow = self.slow_over.mul_f64(strictness);
        let latency = self.latency.filter(|latency| !slow.is_zero() && *latency >= slow)?;
        Some(format!("calls take {}ms on average", latency.as_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Passive {
        Passive {
            slow_over: Duration::from_millis(200),
            breaker_closed: true,
            ..Passive::default()
        }
    }

    #[test]
    fn errors_latency_breaker_and_deep_probes_degrade() {
        assert_eq!(well().degraded(false), None);
        assert!(Passive { error_rate: Some(0.1), ..well() }.degraded(false).is_some());
        assert!(Passive { breaker_closed: false, ..well() }.degraded(false).is_some());
        assert!(Passive { problem: Some("OOM".into()), ..well() }.degraded(false).is_some());
        let slow = Passive { latency: Some(Duration::from_millis(210)), ..well() };
        assert!(slow.degraded(false).is_some());
    }

    #[test]
    fn it_takes_less_to_stay_degraded_than_to_become_so() {
        let better = Passive { error_rate: Some(0.06), ..well() };
        assert_eq!(better.degraded(false), None);
        assert!(better.degraded(true).is_some());
        assert_eq!(Passive { error_rate: Some(0.04), ..well() }.degraded(true), None);
    }
}
