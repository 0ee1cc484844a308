//! Processes of an incident, what started them and what they reached.

use std::collections::HashMap;

use serde::Serialize;

use super::facts::Fact;

/// Nodes of a graph that a person can look at.
const NODES: usize = 40;

/// A process, a destination or a DNS name.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GraphNode {
    /// `process`, `destination` or `name`.
    pub kind: String,
    /// Host.
    pub host: String,
    /// Image, address with port, or name.
    pub label: String,
    /// Process id or protocol.
    pub detail: String,
    /// First row of it, RFC 3339; null of what only others mention.
    pub time: Option<String>,
    /// Bits of its strongest row; 0 of what only led to it.
    pub bits: f32,
}

/// What one did to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphEdge {
    /// Place of a node.
    pub from: usize,
    /// Place of a node.
    pub to: usize,
    /// `started`, `led to` (with others between), `connected to`, `accepted by`, `waits at` or `asked for`.
    pub kind: String,
}

/// Where it came from and what it reached.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Graph {
    /// Those of the strongest rows, and what led to them.
    pub nodes: Vec<GraphNode>,
    /// In the order in which they were found.
    pub edges: Vec<GraphEdge>,
    /// Rows that are about something else, for which there is no room.
    pub others: usize,
}

#[derive(Default)]
struct Builder {
    graph: Graph,
    places: HashMap<String, usize>,
}

/// The graph of rows, and of the rows of the root process.
pub(super) fn graph(facts: &[Fact], origin: &[Fact]) -> Graph {
    let mut rows: Vec<&Fact> = facts.iter().collect();
    rows.sort_by(|a, b| b.bits.total_cmp(&a.bits).then_with(|| (a.time, &a.link).cmp(&(b.time, &b.link))));
    let mut builder = Builder::default();
    for fact in origin.iter().chain(rows) {
        // A row has four nodes at most.
        if builder.graph.nodes.len() + 4 <= NODES {
            builder.row(fact);
        } else if !builder.places.contains_key(fact.get("process_key")) {
            builder.graph.others += 1;
        }
    }
    builder.graph
}

impl Builder {
    /// The place of a node, made if it is not there.
    fn node(&mut self, key: String, fresh: impl FnOnce() -> GraphNode) -> usize {
        let nodes = &mut self.graph.nodes;
        *self.places.entry(key).or_insert_with(|| {
            nodes.push(fresh());
            nodes.len() - 1
        })
    }

    fn edge(&mut self, from: usize, to: usize, kind: &str) {
        let edge = GraphEdge { from, to, kind: kind.to_owned() };
        if kind == "started" {
            // Who started it is known now, and others are no longer between.
            self.graph.edges.retain(|known| known.to != to || known.kind != "led to");
        }
        if from != to && !self.graph.edges.contains(&edge) {
            self.graph.edges.push(edge);
        }
    }

    /// A process that a row names by its key; null if it names none.
    fn process(&mut self, fact: &Fact, key: &str, exe: &str) -> Option<usize> {
        let key = fact.get(key);
        if key.is_empty() {
            return None;
        }
        let pid = key.parse::<events::ProcessKey>().map_or_else(|_| String::new(), |key| format!("pid {}", key.tgid()));
        let place = self.node(key.to_owned(), || GraphNode {
            kind: "process".to_owned(),
            host: fact.get("host").to_owned(),
            detail: pid,
            ..GraphNode::default()
        });
        let node = &mut self.graph.nodes[place];
        if node.label.is_empty() {
            node.label = fact.get(exe).to_owned();
        }
        Some(place)
    }

    fn row(&mut self, fact: &Fact) {
        let Some(own) = self.process(fact, "process_key", "exe") else { return };
        let started =
            self.process(fact, "parent_key", "parent_exe").inspect(|parent| self.edge(*parent, own, "started"));
        let below = started.unwrap_or(own);
        let has_parent =
            self.graph.edges.iter().any(|edge| edge.to == below && ["started", "led to"].contains(&edge.kind.as_str()));
        // The root of a tree is led to by nothing of the tree.
        let is_root = fact.get("root_key") == fact.get("process_key");
        if !has_parent
            && !is_root
            && let Some(root) = self.process(fact, "root_key", "root_exe")
        {
            self.edge(root, below, "led to");
        }
        let about = match fact.table.as_str() {
            events::PROCESS => Some(self.ran(own, fact)),
            events::CONNECTION => self.reached(own, fact),
            events::DNS => self.asked(own, fact),
            _ => None,
        };
        if let Some(about) = about {
            self.mark(about, fact);
        }
    }

    /// A later program of the same process is what it is called by.
    fn ran(&mut self, own: usize, fact: &Fact) -> usize {
        let exe = fact.get("exe");
        if fact.get("activity") == "exec" && !exe.is_empty() && fact.bits >= self.graph.nodes[own].bits {
            exe.clone_into(&mut self.graph.nodes[own].label);
        }
        own
    }

    fn mark(&mut self, place: usize, fact: &Fact) {
        let node = &mut self.graph.nodes[place];
        node.bits = node.bits.max(fact.bits);
        let time = store::rfc3339(fact.time);
        if node.time.as_ref().is_none_or(|known| store::from_rfc3339(known).is_none_or(|known| fact.time < known)) {
            node.time = Some(time);
        }
    }

    /// What a connection leads to, or where it came in: so one host's destination is the other's door.
    fn reached(&mut self, own: usize, fact: &Fact) -> Option<usize> {
        let (side, kind, out) = match (fact.get("activity"), fact.get("direction")) {
            ("accept", _) => ("local", "accepted by", false),
            ("listen" | "bind", _) => ("local", "waits at", true),
            (_, "inbound") => ("local", "accepted by", false),
            _ => ("remote", "connected to", true),
        };
        let (ip, port) = (fact.get(&format!("{side}_ip")), fact.get(&format!("{side}_port")));
        if ip.is_empty() {
            return None;
        }
        let alone = ip.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
        let of = if alone { fact.get("host") } else { "" };
        let place = self.node(format!("{ip} {port} {of}"), || GraphNode {
            kind: "destination".to_owned(),
            host: of.to_owned(),
            label: format!("{ip} port {port}"),
            detail: fact.get("protocol").to_owned(),
            ..GraphNode::default()
        });
        let (from, to) = if out { (own, place) } else { (place, own) };
        self.edge(from, to, kind);
        Some(if out { place } else { own })
    }

    fn asked(&mut self, own: usize, fact: &Fact) -> Option<usize> {
        let name = fact.get("name");
        if name.is_empty() {
            return None;
        }
        let place = self.node(format!("name {name}"), || GraphNode {
            kind: "name".to_owned(),
            label: name.to_owned(),
            detail: "DNS".to_owned(),
            ..GraphNode::default()
        });
        self.edge(own, place, "asked for");
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(table: &str, bits: f32, cells: &[(&str, &str)]) -> Fact {
        let cells = cells.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Fact { table: table.to_owned(), bits, cells, ..Fact::default() }
    }

    #[test]
    fn a_destination_on_one_host_is_the_door_of_another() {
        let rows = [
            fact(
                events::PROCESS,
                9.0,
                &[
                    ("host", "a"),
                    ("activity", "exec"),
                    ("process_key", "02"),
                    ("exe", "/bin/sh"),
                    ("parent_key", "01"),
                    ("parent_exe", "nginx"),
                ],
            ),
            fact(
                events::CONNECTION,
                7.0,
                &[
                    ("host", "a"),
                    ("activity", "connect"),
                    ("process_key", "02"),
                    ("remote_ip", "10.0.0.2"),
                    ("remote_port", "22"),
                ],
            ),
            fact(
                events::CONNECTION,
                3.0,
                &[
                    ("host", "b"),
                    ("activity", "accept"),
                    ("process_key", "77"),
                    ("exe", "sshd"),
                    ("local_ip", "10.0.0.2"),
                    ("local_port", "22"),
                ],
            ),
        ];
        let graph = graph(&rows, &[]);
        let label = |at: usize| graph.nodes[at].label.as_str();
        let told: Vec<_> =
            graph.edges.iter().map(|edge| (label(edge.from), edge.kind.as_str(), label(edge.to))).collect();
        assert_eq!(
            told,
            [
                ("nginx", "started", "/bin/sh"),
                ("/bin/sh", "connected to", "10.0.0.2 port 22"),
                ("10.0.0.2 port 22", "accepted by", "sshd"),
            ]
        );
        assert_eq!(graph.nodes.iter().map(|node| node.bits).collect::<Vec<_>>(), [9.0, 0.0, 7.0, 3.0]);
    }

    #[test]
    fn a_crowd_is_counted() {
        let rows: Vec<Fact> = (0..100)
            .map(|n| fact(events::PROCESS, 1.0, &[("activity", "exec"), ("process_key", &format!("{n:02x}"))]))
            .collect();
        let graph = graph(&rows, &[]);
        assert!(graph.nodes.len() <= NODES);
        assert_eq!(graph.nodes.len() + graph.others, 100);
    }
}
