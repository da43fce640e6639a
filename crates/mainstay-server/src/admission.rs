//! How many connections a front door takes at once.
//! It must not know the protocol.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound on connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    permits: Arc<Semaphore>,
    max: u32,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// At most this many at once.
    pub(crate) fn new(max: usize) -> Self {
        let max = u32::try_from(max).unwrap_or(u32::MAX).min(1 << 28);
        Self { permits: Arc::new(Semaphore::new(max as usize)), max }
    }

    /// A place, if one is free.
    pub(crate) fn try_admit(&self) -> Option<Admitted> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(Admitted { _permit: permit })
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> usize {
        (self.max as usize).saturating_sub(self.permits.available_permits())
    }

    /// Ends when every place is free.
    pub(crate) async fn idle(&self) {
        // The semaphore is never closed.
        let _ = self.permits.acquire_many(self.max).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_come_back() {
        let admission = Admission::new(2);
        let (first, second) = (admission.try_admit(), admission.try_admit());
        assert!(first.is_some() && second.is_some() && admission.try_admit().is_none());
        assert_eq!(admission.taken(), 2);
        drop((first, second));
        admission.idle().await;
        assert_eq!(admission.taken(), 0);
    }
}
