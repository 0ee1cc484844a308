//! Records that wait, in one stretch of memory.

/// Where a record lies, and when it happened.
#[derive(Clone, Copy)]
struct Entry {
    time: u64,
    start: usize,
    len: u32,
    ring: u32,
}

/// Records of all rings. They are copied out of the rings at once, so that the kernel has its room back.
pub(super) struct Held {
    memory: Vec<u8>,
    /// Sorted by time after [`Held::sort`].
    index: Vec<Entry>,
    /// Memory for the next time that gaps are closed.
    spare: Vec<u8>,
    /// Bytes that wait and the newest time, by ring.
    rings: Vec<(usize, u64)>,
    waiting: usize,
}

impl Held {
    /// Nothing, of so many rings.
    pub(super) fn new(rings: usize) -> Self {
        let (memory, index, spare) = Default::default();
        Self { memory, index, spare, rings: vec![(0, 0); rings], waiting: 0 }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.waiting
    }

    /// Bytes that wait of one ring.
    pub(super) fn of(&self, ring: usize) -> usize {
        self.rings[ring].0
    }

    /// The newest time seen in one ring.
    pub(super) fn newest(&self, ring: usize) -> u64 {
        self.rings[ring].1
    }

    /// Takes a record in.
    pub(super) fn push(&mut self, ring: usize, record: &[u8]) {
        // Every record has its time in the second word. What is too short to have one is not held back.
        let time = record.get(8..16).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
        let start = self.memory.len();
        self.memory.extend_from_slice(record);
        self.index.push(Entry { time, start, len: record.len() as u32, ring: ring as u32 });
        self.waiting += record.len();
        let (bytes, newest) = &mut self.rings[ring];
        (*bytes, *newest) = (*bytes + record.len(), time.max(*newest));
    }

    /// Puts the records in order; returns how many there are up to a time, and the oldest and the newest time of them.
    pub(super) fn sort(&mut self, until: u64) -> (usize, Option<(u64, u64)>) {
        // What is in order already, which is most of it, is found to be so and costs little.
        self.index.sort_by_key(|entry| entry.time);
        let given = self.index.partition_point(|entry| entry.time <= until);
        let timeless = self.index.partition_point(|entry| entry.time == 0).min(given);
        let timed = &self.index[timeless..given];
        (given, timed.first().zip(timed.last()).map(|(oldest, newest)| (oldest.time, newest.time)))
    }

    /// How many records have a time that is older than this.
    pub(super) fn older(&self, than: u64) -> usize {
        let end = self.index.partition_point(|entry| entry.time < than);
        end - self.index.partition_point(|entry| entry.time == 0).min(end)
    }

    /// Gives the first records in the order of time.
    pub(super) fn release(&mut self, count: usize, each: &mut dyn FnMut(&[u8])) {
        for entry in self.index.drain(..count) {
            let len = entry.len as usize;
            each(&self.memory[entry.start..entry.start + len]);
            self.waiting -= len;
            self.rings[entry.ring as usize].0 -= len;
        }
        // Closed only when there is more gap than record, so that a record that waits long is not moved each time.
        if self.memory.len() > 2 * self.waiting {
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        self.spare.clear();
        for entry in &mut self.index {
            let start = self.spare.len();
            self.spare.extend_from_slice(&self.memory[entry.start..entry.start + entry.len as usize]);
            entry.start = start;
        }
        std::mem::swap(&mut self.memory, &mut self.spare);
    }
}
