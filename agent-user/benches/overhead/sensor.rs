//! What may watch the load.

use crate::{
    agent::{AGENT, Agent},
    auditd::{self, Audit},
    bpftrace::{self, Bpftrace},
    place::{Place, kauditd_us, used_us},
};
use anyhow::Result;
use serde::Serialize;
use std::{collections::BTreeMap, path::Path};

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sensor {
    None,
    Ebbline,
    Auditd,
    Bpftrace,
}

impl Sensor {
    /// As a person reads it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ebbline => "Ebbline",
            Self::Auditd => "auditd",
            Self::Bpftrace => "bpftrace",
        }
    }
}

/// What a sensor told of, by its own names, and how much it says it lost.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Recorded {
    pub(crate) events: BTreeMap<String, u64>,
    pub(crate) lost: u64,
    /// Processor time by its own account in seconds, where it has one.
    pub(crate) own_cpu_s: Option<f64>,
}

impl Recorded {
    pub(crate) fn add(&mut self, other: Self) {
        for (name, count) in other.events {
            *self.events.entry(name).or_default() += count;
        }
        self.lost += other.lost;
        self.own_cpu_s = self.own_cpu_s.into_iter().chain(other.own_cpu_s).reduce(|one, more| one + more);
    }
}

/// The sensors of this machine, and why others are left out.
#[derive(Default)]
pub(crate) struct Sensors {
    pub(crate) audit: Option<Audit>,
    pub(crate) bpftrace: Option<Bpftrace>,
    pub(crate) left_out: BTreeMap<Sensor, String>,
}

/// One that watches.
pub(crate) enum Watching<'a> {
    Nobody,
    Ebbline(Agent),
    Auditd(auditd::Running<'a>),
    Bpftrace(bpftrace::Running),
}

impl Sensors {
    /// Finds the other ones, and tries each.
    pub(crate) fn find(place: &Place) -> Self {
        let mut sensors = Self::default();
        let audit = Audit::new(place.user).and_then(|audit| {
            audit.start(place)?.stop()?;
            Ok(audit)
        });
        let bpftrace = Bpftrace::new().and_then(|bpftrace| {
            bpftrace.start(place)?.stop()?;
            Ok(bpftrace)
        });
        match audit {
            Ok(audit) => sensors.audit = Some(audit),
            Err(error) => drop(sensors.left_out.insert(Sensor::Auditd, format!("{error:#}"))),
        }
        match bpftrace {
            Ok(bpftrace) => sensors.bpftrace = Some(bpftrace),
            Err(error) => drop(sensors.left_out.insert(Sensor::Bpftrace, format!("{error:#}"))),
        }
        sensors
    }

    pub(crate) fn all(&self) -> Vec<Sensor> {
        let peers = [(Sensor::Auditd, self.audit.is_some()), (Sensor::Bpftrace, self.bpftrace.is_some())];
        let peers = peers.into_iter().filter(|(_, here)| *here).map(|(sensor, _)| sensor);
        [Sensor::None, Sensor::Ebbline].into_iter().chain(peers).collect()
    }

    pub(crate) fn start(&self, sensor: Sensor, place: &Place) -> Result<Watching<'_>> {
        Ok(match (sensor, &self.audit, &self.bpftrace) {
            (Sensor::Ebbline, ..) => {
                Watching::Ebbline(Agent::start(place.sensor(Path::new(AGENT)), &place.load.0, &place.folder)?)
            }
            (Sensor::Auditd, Some(audit), _) => Watching::Auditd(audit.start(place)?),
            (Sensor::Bpftrace, _, Some(bpftrace)) => Watching::Bpftrace(bpftrace.start(place)?),
            _ => Watching::Nobody,
        })
    }
}

impl Watching<'_> {
    /// Processor time that the sensor used so far in microseconds, in processes and threads of its own.
    pub(crate) fn used_us(&self, place: &Place) -> Result<f64> {
        Ok(used_us(&place.sensor.0)? + self.kernel_us())
    }

    /// The part of it in a thread of the kernel.
    pub(crate) fn kernel_us(&self) -> f64 {
        if matches!(self, Self::Auditd(_)) { kauditd_us() } else { 0.0 }
    }

    pub(crate) fn stop(self) -> Result<Recorded> {
        match self {
            Self::Nobody => Ok(Recorded::default()),
            Self::Auditd(running) => running.stop(),
            Self::Bpftrace(running) => running.stop(),
            Self::Ebbline(agent) => {
                let told = agent.stop()?;
                let lost = told.lost();
                let kinds = told.events.into_iter().filter(|(_, (produced, _))| *produced > 0);
                let events = kinds.map(|(kind, (produced, lost))| (kind, produced - lost)).collect();
                Ok(Recorded { events, lost, own_cpu_s: Some(told.cpu_s) })
            }
        }
    }
}
