//! Alerts of intrusion detectors in four enterprises: days of clean time, then an attack in many steps.
//!
//! Of each enterprise, everything before the first row that lies in the time of an attack is learned, but for rows of the
//! exfiltration that runs all through one of them. A label belongs to a window of five minutes of one host: attack if any
//! of its rows is of an attack.
//!
//! Incidents: windows over the line of five false alerts a day, those of a host within an hour joined; of them the rarest
//! five a day, over the days on which windows lie. Beside them five windows a day by the rarity of (host, code)
//! among what was learned, the rarest of each window, alone and joined in the same way from as many windows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::Baseline;
use model::segment::day_of;

use super::incidents::{A_DAY, Share, Window, covered, covered_alone, line, of_windows};
use super::{Figures, Protocol, one_sided, outcome, rows_where};
use crate::data::Rows;
use crate::error::EvalError;
use crate::report::Measured;
use crate::scoring::Judge;
use crate::study::Detail;

const WINDOW_NS: i64 = 300_000_000_000;

pub(super) const PROTOCOL: Protocol = Protocol {
    name: "enterprise-alerts",
    lens: include_str!("../../lenses/enterprise-alerts.toml"),
    labels: &["time_label", "event_label"],
    parts: &["time", "scenario", "host", "alert_code"],
    read_as: &[],
    measure,
};

fn measure(rows: &Rows, judge: &Judge) -> Result<Figures, EvalError> {
    let scenario = rows.texts("scenario")?;
    let mut names: Vec<&str> = scenario.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let parts = names.iter().map(|name| {
        let mut of_scenario = rows_where(rows.len(), |row| scenario[row] == **name);
        let times = rows.times()?;
        of_scenario.sort_by_key(|row| times[*row as usize]); // stable
        one_enterprise(rows, judge, name, &of_scenario, &times)
    });
    let parts = parts.collect::<Result<Vec<_>, EvalError>>()?;
    let mut notes = Vec::new();
    let mut sum = Shares::default();
    for (name, (_, _, shares)) in names.iter().zip(&parts) {
        notes.push(shares.words(name));
        sum.add(shares);
    }
    notes.insert(0, sum.words("all"));
    notes.insert(0, HEAD.to_owned());
    let notes = vec![notes.join("\n")];
    let (parts, details): (Vec<_>, Vec<_>) = parts.into_iter().map(|(part, detail, _)| (part, detail)).unzip();
    let mut measures = vec![Measured::mean("mean of the enterprises", &parts)];
    measures.extend(parts.into_iter().map(|part| part.measure));
    Ok(Figures { measures, details, notes })
}

fn one_enterprise(
    rows: &Rows,
    judge: &Judge,
    name: &str,
    order: &[u32],
    times: &[i64],
) -> Result<(Measured, Detail, Shares), EvalError> {
    let (time_label, event_label) = (rows.texts("time_label")?, rows.texts("event_label")?);
    let host = rows.texts("host")?;
    let attacked = order.iter().find(|row| time_label[**row as usize] != "false_positive");
    let attacked = times[*attacked.ok_or_else(|| one_sided(rows, name))? as usize];
    let (learned, scored): (Vec<u32>, Vec<u32>) = order.iter().partition(|row| times[**row as usize] < attacked);
    let learned: Vec<u32> = learned.into_iter().filter(|row| event_label[*row as usize] != "dnsteal").collect();
    let baseline = judge.learn(rows, &learned)?;
    let scores = judge.score(&baseline, rows, &scored)?;
    let mut windows: BTreeMap<(i64, &str), bool> = BTreeMap::new();
    for row in scored.iter().map(|row| *row as usize) {
        let window = times[row].div_euclid(WINDOW_NS) * WINDOW_NS;
        *windows.entry((window, &host[row])).or_default() |= event_label[row] != "-";
    }
    let outcomes: Vec<_> = windows
        .iter()
        .enumerate()
        .map(|(at, ((window, host), attack))| outcome(scores.unit((*host).to_owned(), *window), *attack, at, *window))
        .collect();
    let measured = Measured::new(name, "windows", &outcomes).ok_or_else(|| one_sided(rows, name))?;
    let place: BTreeMap<(i64, &str), u32> = windows.keys().copied().zip(0..).collect();
    let window = |row: usize| times[row].div_euclid(WINDOW_NS) * WINDOW_NS;
    let unit = scored.iter().map(|row| place[&(window(*row as usize), host[*row as usize].as_str())]).collect();
    let rarity = rarity(rows, &learned, &scored, (&place, &window))?;
    let shares = shares(&baseline, &windows, &rarity, |host, start| scores.unit(host.to_owned(), start).1);
    let detail = if judge.studies() { scores.detail.with_units(unit, outcomes) } else { Detail::default() };
    Ok((measured, detail, shares))
}

/// Attack windows covered.
#[derive(Debug, Clone, Copy, Default)]
struct Shares {
    incidents: u64,
    windows: u64,
    ours: Share,
    alone: Share,
    joined: Share,
}

const HEAD: &str = "\
At 5 incidents a day, of the attack windows covered (95 % by Wilson, who takes windows as independent, which they are not):

| | incidents read | windows in them | incidents | plain rarity, 5 windows a day | plain rarity, joined in the same way |
|---|---:|---:|---|---|---|";

impl Shares {
    fn add(&mut self, other: &Self) {
        self.incidents += other.incidents;
        self.windows += other.windows;
        self.ours.add(other.ours);
        self.alone.add(other.alone);
        self.joined.add(other.joined);
    }

    fn words(&self, name: &str) -> String {
        let Self { incidents, windows, ours, alone, joined } = self;
        format!("| {name} | {incidents} | {windows} | {} | {} | {} |", ours.words(), alone.words(), joined.words())
    }
}

/// Numbers of windows, by their time and host.
type Places<'a> = BTreeMap<(i64, &'a str), u32>;

/// Bits of the rarest (host, code) of each window among what was learned; what was never there counts as half of one.
fn rarity(
    rows: &Rows,
    learned: &[u32],
    scored: &[u32],
    (place, window): (&Places<'_>, &dyn Fn(usize) -> i64),
) -> Result<Vec<f64>, EvalError> {
    let (host, code) = (rows.texts("host")?, rows.texts("alert_code")?);
    let mut known: HashMap<(&str, &str), f64> = HashMap::new();
    for row in learned.iter().map(|row| *row as usize) {
        *known.entry((&host[row], &code[row])).or_default() += 1.0;
    }
    let total = learned.len().max(1) as f64;
    let mut rarity = vec![0.0f64; place.len()];
    for row in scored.iter().map(|row| *row as usize) {
        let count = known.get(&(host[row].as_str(), code[row].as_str())).copied().unwrap_or(0.5);
        let bits = &mut rarity[place[&(window(row), host[row].as_str())] as usize];
        *bits = bits.max((total / count).log2());
    }
    Ok(rarity)
}

fn shares(
    baseline: &Baseline,
    windows: &BTreeMap<(i64, &str), bool>,
    rarity: &[f64],
    log2_n: impl Fn(&str, i64) -> u16,
) -> Shares {
    let hosts: BTreeSet<Option<String>> = windows.keys().map(|(_, host)| Some((*host).to_owned())).collect();
    let line = line(baseline, &hosts);
    let attack: Vec<bool> = windows.values().copied().collect();
    let days = windows.keys().map(|(start, _)| day_of(*start)).collect::<BTreeSet<_>>().len();
    let most = (A_DAY * days as f64) as usize;
    let window =
        |(place, (start, host)): (usize, &(i64, &'_ str)), bits: f64| (place, *start, (*host).to_owned(), bits);
    let over = windows.keys().enumerate().filter_map(|one| {
        let log2_n = log2_n(one.1.1, one.1.0);
        (log2_n >= line).then(|| window(one, f64::from(log2_n) / 1024.0))
    });
    let over: Vec<_> = over.collect();
    // As many by rarity, the rarest first, equal ones in order of time.
    let mut rare: Vec<_> = windows.keys().enumerate().map(|one| window(one, rarity[one.0])).collect();
    rare.sort_by(|a, b| b.3.total_cmp(&a.3));
    rare.truncate(over.len());
    let joined = |chosen: &[(usize, i64, String, f64)]| {
        let windows: Vec<Window<'_>> = chosen
            .iter()
            .map(|(place, start, host, bits)| Window { place: *place, host, start: *start, log2_n: *bits as f32 })
            .collect();
        of_windows(&windows)
    };
    let ours = joined(&over);
    Shares {
        incidents: ours.len().min(most) as u64,
        windows: ours.iter().take(most).map(|incident| incident.len() as u64).sum(),
        alone: covered_alone(rarity, most, &attack),
        joined: covered(&joined(&rare), most, &attack),
        ours: covered(&ours, most, &attack),
    }
}
