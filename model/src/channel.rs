//! Fields that depend on earlier rows: each (host, UTC hour, entity) is a channel with a past (docs/model.md §1).

use std::collections::HashMap;
use std::sync::Arc;

use crate::encode::Codes;
use crate::keys::{HashKey, Pair, PairMap, absorb, join};
use crate::kind::transform::logbin;
use crate::lens::{MAX_LAG, Sort, State};
use crate::log2::lg;

/// Channels of a field that one host may have in one hour; beyond it the half that was used longest ago is let go.
pub(crate) const MAX_CHANNELS: usize = 32_768;
/// Hours of a host that are kept, those used last: rows may be late.
pub(crate) const MAX_HOURS: usize = 3;
/// Channels of a field over all hosts and hours; beyond it the hours used longest ago go, down to three quarters.
pub(crate) const MAX_TOTAL: usize = 4_194_304;
/// The value of a row that begins a channel when that of its past may have been let go.
pub(crate) const CROWDED: &str = "crowded";

/// Most rows that a tick counts.
const MAX_COUNT: u32 = 1 << 20;
/// Bits of the map that counts distinct values.
const MAP_BITS: u32 = 64 * 16;
/// ln 2 in Q16.
const LN2: u64 = 45_426;
/// Values of the past that are kept before those that nobody needs are swept out.
const SWEEP_AT: usize = 65_536;
const HOUR_NS: i64 = 3_600_000_000_000;
/// The numbers of two values that are always known.
const NULL_VALUE: u32 = 0;
const CROWDED_VALUE: u32 = 1;
/// Added to a number of half bits, of which there are at most 40 on either side.
const HALVES_ZERO: i64 = 100;
/// In place of what a channel counts.
const CROWDED_NUMBER: u32 = u32::MAX - 1;
/// In place of all: the row has no channel.
const NO_CHANNEL: u32 = u32::MAX;

/// The channels of one field.
pub(crate) struct Channels {
    sort: Sort,
    /// How many of the sources name the channel; the one after them is what fan-out counts.
    of: usize,
    key: HashKey,
    hosts: PairMap<Vec<Hour>>,
    /// Channels over all hosts and hours.
    total: usize,
    /// Rows so far.
    clock: u64,
    crowded: u64,
    values: Values,
}

/// The channels of one host and hour, in two generations: what `young` has no room for ages, and what was old goes.
struct Hour {
    hour: i64,
    used: u64,
    young: PairMap<Channel>,
    old: PairMap<Channel>,
    /// Whether any was let go.
    crowded: bool,
}

/// The past of one channel.
#[derive(Debug, Clone)]
enum Channel {
    /// Numbers of the last values, the newest first.
    Lag([u32; MAX_LAG as usize]),
    Burst(Burst),
    Rate(Rate),
    Fanout(Box<Fanout>),
}

/// Rows of the current tick, and the mean of those before.
#[derive(Debug, Clone, Copy)]
struct Burst {
    tick: i64,
    count: u32,
    /// Rows a tick, Q8, decayed.
    history: u32,
}

/// Rows lately, Q8: each counts less with every tick that has begun since.
#[derive(Debug, Clone, Copy)]
struct Rate {
    tick: i64,
    level: u32,
}

/// Distinct values lately: those of the current tick as a map, and those of the ticks before, Q8, which count less with
/// every tick that has begun since.
#[derive(Debug, Clone)]
struct Fanout {
    tick: i64,
    map: [u64; 16],
    before: u32,
}

/// The past's values by number, over batches that each have codes of their own.
struct Values {
    numbers: PairMap<u32>,
    known: Vec<(Pair, Option<String>)>,
    sweep_at: usize,
}

/// The distinct values of one batch, by some number of theirs.
#[derive(Default)]
struct Distinct {
    codes: HashMap<u32, u32, ahash::RandomState>,
    hashes: Vec<Pair>,
    values: Vec<Option<String>>,
}

impl Distinct {
    fn code(&mut self, number: u32, value: impl FnOnce() -> (Pair, Option<String>)) -> u32 {
        *self.codes.entry(number).or_insert_with(|| {
            let (hash, value) = value();
            self.hashes.push(hash);
            self.values.push(value);
            (self.values.len() - 1) as u32
        })
    }
}

impl Channels {
    pub(crate) fn new(state: &State, key: &HashKey) -> Self {
        Self {
            sort: state.sort.clone(),
            of: state.of.len(),
            key: key.clone(),
            hosts: PairMap::default(),
            total: 0,
            clock: 0,
            crowded: 0,
            values: Values::new(key),
        }
    }

    /// Rows that began a channel when that of their past may have been let go.
    pub(crate) fn crowded(&self) -> u64 {
        self.crowded
    }

    /// The field's values for the rows of a batch: `own` are the values of its column, `sources` what names the channel and,
    /// for fan-out, what is counted.
    pub(crate) fn encode(&mut self, own: &Codes, sources: &[Codes], host: &Codes, time: &[i64]) -> Codes {
        if self.values.known.len() > self.values.sweep_at {
            self.sweep();
        }
        let (of, counted) = sources.split_at(self.of);
        let mut distinct = Distinct::default();
        // A null names nobody: such a row has no channel.
        let nulls: Vec<Vec<bool>> = of.iter().map(|c| c.values.iter().map(Option::is_none).collect()).collect();
        let mut numbers = vec![u32::MAX; own.hashes.len()];
        let mut codes = Vec::with_capacity(time.len());
        for (row, time) in time.iter().enumerate() {
            self.clock += 1;
            if of.iter().zip(&nulls).any(|(codes, null)| null[codes.codes[row] as usize]) {
                codes.push(distinct.code(NO_CHANNEL, || (self.key.value(None), None)));
                continue;
            }
            let entity = of.iter().fold([0; 2], |state, codes| absorb(state, codes.hash(row)));
            let value = match self.sort {
                Sort::Lag(_) => self.values.number(own, row, &mut numbers),
                Sort::Burst { .. } | Sort::Rate { .. } => 0,
                Sort::Fanout { .. } => counted.first().map_or(NULL_VALUE, |c| bit_of(c, row)),
            };
            let number = self.row(join(host.hash(row)), join(entity), *time, value);
            codes.push(distinct.code(number, || self.value(number)));
        }
        Codes { codes, hashes: Arc::new(distinct.hashes), values: Arc::new(distinct.values) }
    }

    /// Adds a row to its channel and returns the number of the field's value.
    fn row(&mut self, host: u64, entity: u64, time: i64, value: u32) -> u32 {
        let Self { sort, hosts, total, clock, crowded, .. } = self;
        let hour = hour_of(hosts.entry(host).or_default(), time.div_euclid(HOUR_NS), *clock, total);
        let (channel, begins_crowded) = hour.channel(entity, sort, time, total);
        *crowded += u64::from(begins_crowded);
        let number = match channel {
            Channel::Lag(past) => lagged(past, sort, value),
            Channel::Burst(burst) => burst.row(sort, time),
            Channel::Rate(rate) => rate.row(sort, time),
            Channel::Fanout(fanout) => fanout.row(sort, time, value),
        };
        let number = match channel {
            Channel::Burst(_) | Channel::Rate(_) | Channel::Fanout(_) if begins_crowded => CROWDED_NUMBER,
            _ => number,
        };
        if *total > MAX_TOTAL {
            shrink(hosts, total, *clock);
        }
        number
    }

    /// Hash and text of a number that [`Channels::row`] gave.
    fn value(&self, number: u32) -> (Pair, Option<String>) {
        let text = match self.sort {
            Sort::Lag(_) => return self.values.known[number as usize].clone(),
            _ if number == CROWDED_NUMBER => CROWDED.to_owned(),
            Sort::Burst { .. } => half_bits(i64::from(number) - HALVES_ZERO),
            Sort::Rate { .. } | Sort::Fanout { .. } => logbin(i128::from(number)),
        };
        (self.key.value(Some(&text)), Some(text))
    }

    /// Forgets the values that no channel remembers.
    fn sweep(&mut self) {
        let mut kept = Values::new(&self.key);
        let mut moved = vec![u32::MAX; self.values.known.len()];
        (moved[NULL_VALUE as usize], moved[CROWDED_VALUE as usize]) = (NULL_VALUE, CROWDED_VALUE);
        for channel in self.hosts.values_mut().flatten().flat_map(Hour::channels) {
            let Channel::Lag(past) = channel else { continue };
            for number in past {
                let old = *number as usize;
                if moved[old] == u32::MAX {
                    moved[old] = kept.keep(std::mem::take(&mut self.values.known[old]));
                }
                *number = moved[old];
            }
        }
        kept.sweep_at = SWEEP_AT.max(2 * kept.known.len());
        self.values = kept;
    }
}

/// The hour of a host, which is the last used from now on; a further hour takes the place of that used longest ago.
fn hour_of<'a>(hours: &'a mut Vec<Hour>, hour: i64, clock: u64, total: &mut usize) -> &'a mut Hour {
    let at = hours.iter().position(|h| h.hour == hour).unwrap_or_else(|| {
        let new = Hour { hour, used: 0, young: PairMap::default(), old: PairMap::default(), crowded: false };
        let oldest = (0..hours.len()).min_by_key(|at| hours[*at].used);
        match oldest.filter(|_| hours.len() == MAX_HOURS) {
            Some(at) => {
                *total -= hours[at].len();
                hours[at] = new;
                at
            }
            None => {
                hours.push(new);
                hours.len() - 1
            }
        }
    });
    hours[at].used = clock;
    &mut hours[at]
}

/// Lets hours go, those used longest ago first, but not the one that is in use.
fn shrink(hosts: &mut PairMap<Vec<Hour>>, total: &mut usize, clock: u64) {
    let mut used: Vec<(u64, usize)> = hosts.values().flatten().map(|h| (h.used, h.len())).collect();
    used.sort_unstable(); // no two rows are one: every hour was used last by a row of its own
    let (mut left, mut last) = (*total, 0);
    for (used, channels) in used {
        if left <= MAX_TOTAL / 4 * 3 || used == clock {
            break;
        }
        (left, last) = (left - channels, used);
    }
    *total = left;
    hosts.retain(|_, hours| {
        hours.retain(|hour| hour.used > last);
        !hours.is_empty()
    });
}

impl Hour {
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn channels(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.young.values_mut().chain(self.old.values_mut())
    }

    /// The channel of an entity, and whether it begins now and may have had a past that was let go.
    fn channel(&mut self, entity: u64, sort: &Sort, time: i64, total: &mut usize) -> (&mut Channel, bool) {
        let mut begins_crowded = false;
        if !self.young.contains_key(&entity) {
            let before = self.len();
            let known = self.old.remove(&entity);
            if self.young.len() == MAX_CHANNELS / 2 {
                let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
                self.crowded |= !gone.is_empty();
            }
            begins_crowded = self.crowded && known.is_none();
            let channel = known.unwrap_or_else(|| Channel::new(sort, time, begins_crowded));
            self.young.insert(entity, channel);
            *total = *total + self.len() - before;
        }
        (self.young.entry(entity).or_insert_with(|| Channel::new(sort, time, begins_crowded)), begins_crowded)
    }
}

impl Channel {
    fn new(sort: &Sort, time: i64, crowded: bool) -> Self {
        let tick = |tick_ns: i64| time.div_euclid(tick_ns);
        match sort {
            Sort::Lag(_) if crowded => Channel::Lag([CROWDED_VALUE; MAX_LAG as usize]),
            Sort::Lag(_) => Channel::Lag([NULL_VALUE; MAX_LAG as usize]),
            Sort::Burst { tick_ns } => Channel::Burst(Burst { tick: tick(*tick_ns), count: 0, history: 0 }),
            Sort::Rate { tick_ns } => Channel::Rate(Rate { tick: tick(*tick_ns), level: 0 }),
            Sort::Fanout { tick_ns, .. } => {
                Channel::Fanout(Box::new(Fanout { tick: tick(*tick_ns), map: [0; 16], before: 0 }))
            }
        }
    }
}

/// Remembers a value and returns the one that was so many rows back.
fn lagged(past: &mut [u32; MAX_LAG as usize], sort: &Sort, value: u32) -> u32 {
    let Sort::Lag(lag) = sort else { return NULL_VALUE };
    let number = past[usize::from(*lag) - 1];
    past.rotate_right(1);
    past[0] = value;
    number
}

impl Burst {
    /// The count of this tick, this row included, against the mean of those before: in half bits, rounded down.
    fn row(&mut self, sort: &Sort, time: i64) -> u32 {
        let Sort::Burst { tick_ns } = sort else { return 0 };
        let tick = time.div_euclid(*tick_ns);
        if tick > self.tick {
            self.history = self.history - self.history / 8 + 32 * self.count;
            // Empty ticks; below 8 there is nothing left to decay.
            let mut empty = tick - self.tick - 1;
            while empty > 0 && self.history >= 8 {
                self.history -= self.history / 8;
                empty -= 1;
            }
            (self.tick, self.count) = (tick, 0);
        }
        self.count = (self.count + 1).min(MAX_COUNT);
        let ratio = i64::from(lg(256 * self.count + 256)) - i64::from(lg(self.history + 256));
        ((ratio >> 15) + HALVES_ZERO) as u32
    }
}

impl Rate {
    /// The rows lately, this one included, rounded down to a whole number.
    fn row(&mut self, sort: &Sort, time: i64) -> u32 {
        let Sort::Rate { tick_ns } = sort else { return 0 };
        let tick = time.div_euclid(*tick_ns);
        self.level = faded(self.level, tick.saturating_sub(self.tick));
        self.tick = self.tick.max(tick);
        self.level = (self.level + 256).min(256 * MAX_COUNT);
        self.level / 256
    }
}

/// What is left of a level after so many ticks: each takes an eighth, down to where nothing is left to take.
fn faded(mut level: u32, mut ticks: i64) -> u32 {
    while ticks > 0 && level >= 8 {
        level -= level / 8;
        ticks -= 1;
    }
    level
}

/// A number of half bits in words: `1.5`, `-0.5`.
fn half_bits(halves: i64) -> String {
    let sign = if halves < 0 { "-" } else { "" };
    let magnitude = halves.unsigned_abs();
    format!("{sign}{}.{}", magnitude / 2, if magnitude.is_multiple_of(2) { 0 } else { 5 })
}

/// The bit of a row's value in the map of a tick, or none for null: nothing was named.
fn bit_of(counted: &Codes, row: usize) -> u32 {
    match counted.value(row) {
        Some(_) => counted.hash(row)[0] % MAP_BITS,
        None => MAP_BITS,
    }
}

impl Fanout {
    /// The distinct values lately, that of this row included, rounded down to a whole number.
    fn row(&mut self, sort: &Sort, time: i64, bit: u32) -> u32 {
        let Sort::Fanout { tick_ns, .. } = sort else { return 0 };
        let tick = time.div_euclid(*tick_ns);
        if tick > self.tick {
            let before = faded(self.level(), tick.saturating_sub(self.tick));
            *self = Self { tick, map: [0; 16], before };
        }
        if bit < MAP_BITS {
            self.map[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        self.level() / 256
    }

    fn level(&self) -> u32 {
        let bits = self.map.iter().map(|word| word.count_ones()).sum();
        (self.before + 256 * distinct_of(bits) as u32).min(256 * MAX_COUNT)
    }
}

/// Linear counting (Whang, Vander-Zanden and Taylor 1990): m ln(m / (m − bits)), rounded, by the model's own logarithm.
fn distinct_of(bits: u32) -> u64 {
    let empty = (MAP_BITS - bits.min(MAP_BITS)).max(1);
    let nats = u64::from(lg(MAP_BITS) - lg(empty)) * LN2; // Q32
    (u64::from(MAP_BITS) * nats + (1 << 31)) >> 32
}

impl Values {
    fn new(key: &HashKey) -> Self {
        let crowded = (key.value(Some(CROWDED)), Some(CROWDED.to_owned()));
        let mut values = Self { numbers: PairMap::default(), known: Vec::new(), sweep_at: SWEEP_AT };
        values.keep((key.value(None), None));
        values.keep(crowded);
        values
    }

    fn keep(&mut self, value: (Pair, Option<String>)) -> u32 {
        let known = &mut self.known;
        *self.numbers.entry(join(value.0)).or_insert_with(|| {
            known.push(value);
            (known.len() - 1) as u32
        })
    }

    /// The number of a row's value; `numbers` remembers those of the batch's codes.
    fn number(&mut self, codes: &Codes, row: usize, numbers: &mut [u32]) -> u32 {
        let code = codes.codes[row] as usize;
        if numbers[code] == u32::MAX {
            numbers[code] = match self.numbers.get(&join(codes.hashes[code])) {
                Some(number) => *number,
                None => self.keep((codes.hashes[code], codes.values[code].clone())),
            };
        }
        numbers[code]
    }
}
