//! What the processor's memory gives at best, and how much of it this process uses.

use std::hint::black_box;
use std::time::Instant;

use model::testing::Rng;

/// Reads made at once by each thread.
const AT_ONCE: usize = 64;

/// Bytes of the processor's last cache; 32 MiB if it does not say.
#[must_use]
pub fn last_cache() -> usize {
    let size = |index: u32| {
        let text = std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()?;
        text.trim().strip_suffix('K')?.parse::<usize>().ok().map(|kib| kib << 10)
    };
    (0..8).filter_map(size).max().unwrap_or(32 << 20)
}

/// The seconds of the best of some tries.
pub fn best(mut work: impl FnMut(), tries: usize) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..tries).map(|_| time(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Bytes a second of reading these slots in order, by all threads together; the best of some tries.
#[must_use]
pub fn stream_bytes_per_s(slots: &[[u32; 4]], tries: usize) -> f64 {
    let share = (slots.len() / threads()).max(1);
    // A table that fits a cache is over in microseconds: again and again, for as many bytes as take a while.
    let again = ((64 << 20) / size_of_val(slots).max(1)).max(1);
    let seconds = best(
        || {
            on_each(|thread| {
                let part = slots.chunks(share).nth(thread).unwrap_or_default();
                (0..again).fold(0, |sum, _| sum ^ whole(black_box(part)))
            });
        },
        tries,
    );
    (share * threads().min(slots.len()) * again * 16) as f64 / seconds
}

/// Random 32-byte reads a second of these slots, a power of two, by all threads together: `reads` each, of which none waits
/// for another.
#[must_use]
pub fn gathers_per_s(slots: &[[u32; 4]], reads: usize) -> f64 {
    let mask = slots.len() - 1;
    let start = Instant::now();
    on_each(|thread| {
        let mut rng = Rng(thread as u64);
        let mut sum = 0;
        for _ in 0..reads / AT_ONCE {
            // Places first: reads that wait for nothing else are as many at a time as the processor can have.
            let places: [usize; AT_ONCE] = std::array::from_fn(|_| rng.bits() as usize & mask & !1);
            sum += places.iter().fold(0, |sum, at| sum + whole(&slots[*at..][..2]));
        }
        sum
    });
    (threads() * (reads / AT_ONCE) * AT_ONCE) as f64 / start.elapsed().as_secs_f64()
}

fn whole(part: &[[u32; 4]]) -> u64 {
    part.iter().fold(0, |sum, s| sum + u64::from(s[0] ^ s[1] ^ s[2] ^ s[3]))
}

/// Runs `work(thread)` on every processor.
fn on_each(work: impl Fn(usize) -> u64 + Sync) {
    std::thread::scope(|scope| {
        for thread in 0..threads() {
            let work = &work;
            scope.spawn(move || black_box(work(thread)));
        }
    });
}

/// Processors that this process may use.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The most memory that this process had at any time, in bytes (`VmHWM`).
pub(crate) fn peak() -> Option<u64> {
    kib("/proc/self/status", "VmHWM:")
}

/// All memory, in bytes.
pub(crate) fn all() -> Option<u64> {
    kib("/proc/meminfo", "MemTotal:")
}

/// A figure that the kernel gives in KiB, in bytes.
pub(crate) fn kib(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_rates_and_sizes() {
        for slots in [2usize, 64, 1 << 12] {
            let slots = vec![[1, 2, 3, 4]; slots];
            assert!(stream_bytes_per_s(&slots, 1) > 0.0 && gathers_per_s(&slots, 1 << 10) > 0.0);
        }
        assert!(last_cache() > 0);
        assert!(peak() > Some(1 << 20) && all() >= peak());
    }
}
