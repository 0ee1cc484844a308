//! Rows of `dns`.

use super::{Batch, Dict, Owned, columns, key_column, socket_columns, time_column};
use arrow_array::builder::{
    BooleanBuilder, FixedSizeBinaryBuilder, ListBuilder, StringBuilder, TimestampNanosecondBuilder, UInt16Builder,
    UInt32Builder, UInt64Builder,
};
use arrow_schema::ArrowError;
use events::{Dns, EventType};
use std::sync::Arc;

columns! {
    /// The columns of `dns`, in the order of its schema.
    DnsColumns: events::dns_schema();
    time: TimestampNanosecondBuilder = time_column();
    host: Dict = Dict::new();
    activity: Dict = Dict::new();
    process_key: FixedSizeBinaryBuilder = key_column();
    root_key: FixedSizeBinaryBuilder = key_column();
    pid: UInt32Builder = UInt32Builder::new();
    uid: UInt32Builder = UInt32Builder::new();
    comm: Dict = Dict::new();
    exe: Dict = Dict::new();
    parent_exe: Dict = Dict::new();
    root_exe: Dict = Dict::new();
    container_id: Dict = Dict::new();
    image: Dict = Dict::new();
    pod: Dict = Dict::new();
    protocol: Dict = Dict::new();
    direction: Dict = Dict::new();
    local_ip: Dict = Dict::new();
    remote_ip: Dict = Dict::new();
    local_port: UInt16Builder = UInt16Builder::new();
    remote_port: UInt16Builder = UInt16Builder::new();
    id: UInt16Builder = UInt16Builder::new();
    name: Dict = Dict::new();
    record_type: Dict = Dict::new();
    rcode: Dict = Dict::new();
    answers: ListBuilder<StringBuilder> = ListBuilder::new(StringBuilder::new());
    answer_count: UInt16Builder = UInt16Builder::new();
    bytes: UInt16Builder = UInt16Builder::new();
    complete: BooleanBuilder = BooleanBuilder::new();
    cookie: UInt64Builder = UInt64Builder::new();
}
socket_columns!(DnsColumns);

/// Bytes of answers that a row holds: names in a message are short, but can be many times as long when written out.
const ANSWERS_MAX: usize = 4096;

/// Builds rows of `dns`.
pub struct DnsRows {
    columns: DnsColumns,
    host: Arc<str>,
    kinds: Vec<EventType>,
}

impl DnsRows {
    /// No rows yet, for a host.
    #[must_use]
    pub fn new(host: Arc<str>) -> Self {
        Self { columns: DnsColumns::new(), host, kinds: Vec::new() }
    }

    /// Rows waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Gives up the rows that wait, the last of which may be half a row. Returns of what types they were.
    pub fn abandon(&mut self) -> Vec<EventType> {
        self.columns = DnsColumns::new();
        std::mem::take(&mut self.kinds)
    }

    /// Whether no row waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// A row for a message. What is on the port but is no DNS message is a row too, without a name.
    pub fn push(&mut self, time: i64, dns: &Dns<'_>, owner: Owned<'_>) {
        let message = parse::dns::parse(dns.message).ok();
        self.kinds.push(EventType::Dns);
        let to = &mut self.columns;
        to.time.append_value(time);
        to.host.append_value(&self.host);
        to.activity.append_value(match &message {
            Some(message) if message.is_answer => "answer",
            Some(_) => "query",
            None => "other",
        });
        to.socket(&dns.head.socket, owner);
        let message = message.as_ref();
        let question = message.and_then(|message| message.question.as_ref());
        to.id.append_option(message.map(|message| message.id));
        to.name.append_option(question.map(|question| &question.name));
        to.record_type.append_option(question.map(|question| &question.kind));
        let answer = message.filter(|message| message.is_answer);
        to.rcode.append_option(answer.map(|answer| &answer.rcode));
        let mut room = ANSWERS_MAX;
        for text in answer.into_iter().flat_map(|answer| &answer.answers) {
            if text.len() > room {
                break;
            }
            room -= text.len();
            to.answers.values().append_value(text);
        }
        to.answers.append(answer.is_some());
        to.answer_count.append_option(answer.map(|answer| answer.answer_count));
        to.bytes.append_value(dns.head.len);
        let whole = dns.head.got == dns.head.len;
        to.complete.append_value(whole && message.is_some_and(|message| message.complete));
        to.cookie.append_value(dns.head.socket.cookie);
    }

    /// Takes the rows out.
    ///
    /// # Errors
    /// If the columns do not fit the schema.
    pub fn take(&mut self) -> Result<Batch, ArrowError> {
        let rows = self.columns.take()?;
        Ok(Batch::new(events::DNS, rows, std::mem::take(&mut self.kinds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_the_schema() {
        assert_eq!(DnsRows::new("h".into()).take().unwrap().rows.num_rows(), 0);
    }
}
