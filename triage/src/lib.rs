//! Incidents: findings that are one story, told in words that lead back to their rows (docs/contracts.md §10).
//!
//! [`mod@group`] is a pure function: findings and what they carry in, incidents out. What they carry is gathered from the
//! archive in batches; what is said of one incident is made when it is asked for, from its rows.

mod archive;
mod cells;
mod count;
mod coverage;
mod error;
mod feedback;
mod gather;
mod group;
mod grouped;
mod item;
mod join;
mod look;
mod narrative;
mod rarity;
mod report;
mod run;
mod skeleton;
mod surprise;
mod title;

pub use coverage::{Gap, coverage};
pub use error::TriageError;
pub use feedback::{Feedback, Opinion, Standing, Standings, Verdict, feedback_path, standings, standings_of, units};
pub use group::{Before, Group, Root, group};
pub use grouped::grouped;
pub use item::{Evidence, Item, LEVELS, Map, RARE_TREES, Seen, Value};
pub use join::{Link, Shared};
pub use look::{findings_of_all, look_up};
pub use narrative::{
    Around, Graph, GraphEdge, GraphNode, Kin, Narrative, Reason, Relative, Room, RowLink, Sentence, Step, Technique,
    Told, around, tell, tell_all,
};
pub use rarity::Rarity;
pub use report::{Axis, HostSeen, Hosts, Overview, Pair, REPORT_FORMAT, Scores, Talk, Volume, overview};
pub use run::{Options, Triaged, triage};
pub use surprise::path_bits;
