//! How long the newest records wait for older ones.

/// The window at the start, in nanoseconds: what a process loses when it is put aside for a moment.
const FIRST: u64 = 1_000_000;
/// The widest window. What comes later than this is given late.
const WIDEST: u64 = 50_000_000;
/// Without late records, the window loses this part of itself in a second of 2^30 nanoseconds.
const NARROWER: u64 = 64;

/// A window that learns from what came too late for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    width: u64,
    given: u64,
    narrowed: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { width: FIRST, given: 0, narrowed: 0 }
    }
}

impl Window {
    /// Its width.
    pub(super) fn width(self) -> u64 {
        self.width
    }

    /// Until when records are given if all are there up to this time.
    pub(super) fn line(self, all: u64) -> u64 {
        all.saturating_sub(self.width)
    }

    /// The newest time given.
    pub(super) fn given(self) -> u64 {
        self.given
    }

    /// Records between these times are given now.
    pub(super) fn passed(&mut self, (oldest, newest): (u64, u64)) {
        // Twice what was missing: whoever was late once may be later the next time.
        let late = self.given.saturating_sub(oldest);
        self.width = self.width.saturating_add(late.saturating_mul(2)).min(WIDEST);
        self.given = self.given.max(newest);
    }

    /// Narrows with time.
    pub(super) fn narrow(&mut self, now: u64) {
        let since = now.saturating_sub(std::mem::replace(&mut self.narrowed, now)).min(1 << 30);
        self.width -= ((u128::from(self.width) * u128::from(since)) >> 30) as u64 / NARROWER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_widens_for_what_is_late_and_narrows_slowly() {
        let mut window = Window::default();
        assert_eq!(window.line(10 * FIRST), 9 * FIRST);
        window.passed((5 * FIRST, 9 * FIRST));
        assert_eq!((window.width(), window.given()), (FIRST, 9 * FIRST));
        window.passed((7 * FIRST, 8 * FIRST));
        assert_eq!((window.width(), window.given()), (5 * FIRST, 9 * FIRST));
        window.passed((9 * FIRST, 10 * FIRST));
        assert_eq!(window.width(), 5 * FIRST);
        (0..10).for_each(|_| window.passed((1, 1)));
        assert_eq!(window.width(), WIDEST);
        window.narrow(1 << 30);
        assert!(window.width() < WIDEST && window.width() > WIDEST / 2);
        (2..2000).for_each(|second| window.narrow(second << 30));
        assert!(window.width() < 100);
    }
}
