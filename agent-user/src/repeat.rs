//! A line that comes again and again: said once, then counted.

use std::time::{Duration, Instant};

/// How often a line must come again before it is said again, and that many times as often each time after.
const AGAIN: u64 = 10;

/// Lines of one kind.
#[derive(Debug)]
pub struct Repeats {
    /// One that was away for so long is news.
    quiet: Duration,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    text: String,
    at: Instant,
    /// When it came first, in nanoseconds UTC.
    since: i64,
    count: u64,
    /// How often it had come when that was said.
    said: u64,
}

impl Last {
    fn again(&mut self) -> Option<String> {
        let news = self.said < self.count;
        self.said = self.count;
        let since = store::time_text(self.since);
        let times = if self.count == 2 { "once".to_owned() } else { format!("{} times", self.count - 1) };
        news.then(|| format!("{} (again, {times} since {} UTC)", self.text, &since[11..16]))
    }
}

impl Repeats {
    /// A line that did not come for so long is news when it does.
    #[must_use]
    pub const fn after(quiet: Duration) -> Self {
        Self { quiet, last: None }
    }

    /// What is to be said when a line comes, at a time in nanoseconds UTC.
    #[must_use]
    pub fn take(&mut self, text: &str, now: Instant, utc: i64) -> Vec<String> {
        let quiet = self.quiet;
        let is_again = |last: &&mut Last| last.text == text && now.saturating_duration_since(last.at) < quiet;
        let Some(last) = self.last.as_mut().filter(is_again) else {
            let before = self.end();
            self.last = Some(Last { text: text.to_owned(), at: now, since: utc, count: 1, said: 1 });
            return before.into_iter().chain([text.to_owned()]).collect();
        };
        last.at = now;
        last.count += 1;
        let again = (last.count > AGAIN.saturating_mul(last.said)).then(|| last.again()).flatten();
        again.into_iter().collect()
    }

    /// What is to be said once it comes no more: how often it came, unless that was said.
    #[must_use]
    pub fn rest(&mut self, now: Instant) -> Option<String> {
        let over = self.last.as_ref().is_some_and(|last| now.saturating_duration_since(last.at) >= self.quiet);
        if over { self.end() } else { None }
    }

    /// It is over.
    #[must_use]
    pub fn end(&mut self) -> Option<String> {
        self.last.take()?.again()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_262_400_000_000_000; // 2026-11-21 12:00 UTC
    const QUIET: Duration = Duration::from_secs(10);

    #[test]
    fn the_same_line_is_said_once_and_counted() {
        let (mut repeats, now) = (Repeats::after(QUIET), Instant::now());
        let mut said = Vec::new();
        (0..300).for_each(|_| said.extend(repeats.take("no", now, NOON)));
        said.extend(repeats.rest(now));
        assert_eq!(said, ["no", "no (again, 10 times since 12:00 UTC)", "no (again, 110 times since 12:00 UTC)"]);
        assert_eq!(repeats.rest(now + QUIET).unwrap(), "no (again, 299 times since 12:00 UTC)");
        assert_eq!(repeats.rest(now + QUIET), None);
    }

    #[test]
    fn another_line_and_one_that_was_away_are_news() {
        let (mut repeats, now) = (Repeats::after(QUIET), Instant::now());
        assert_eq!(repeats.take("a", now, NOON), ["a"]);
        assert!(repeats.take("a", now, NOON).is_empty());
        assert_eq!(repeats.take("b", now, NOON), ["a (again, once since 12:00 UTC)", "b"]);
        assert_eq!(repeats.take("b", now + QUIET, NOON), ["b"]);
        assert_eq!(repeats.end(), None);
    }
}
