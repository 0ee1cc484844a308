//! Logs of what people and their helpers do: clouds, mail, chat, language models.

use serde_json::{Value, json};

use super::{Log, Written, about, pick, rfc3339};
use crate::random::Random;

pub(super) const CLOUD_TRAIL: Log = Log {
    name: "cloud-trail",
    written: Written::JsonLines,
    ordinary: cloud,
    odd: odd_cloud,
    odd_unit: "arn:aws:iam::111122223333:user/build",
    odd_view: "action given principal",
};

const BUILD: &str = "arn:aws:iam::111122223333:user/build";
const OPERATOR: &str = "arn:aws:sts::111122223333:assumed-role/Operator/ada";
const SDK: &str = "Boto3/1.40.1 md/Botocore#1.40.1";
const CONSOLE: &str = "Mozilla/5.0 (X11; Linux x86_64) Console";

/// Service and action.
const BUILDS: [(&str, &str); 4] =
    [("s3", "GetObject"), ("s3", "PutObject"), ("ecr", "BatchGetImage"), ("logs", "PutLogEvents")];
const OPERATES: [(&str, &str); 4] =
    [("ec2", "DescribeInstances"), ("logs", "GetLogEvents"), ("ec2", "RebootInstances"), ("s3", "ListBuckets")];

fn cloud(random: &mut Random, time: i64) -> Value {
    let failed = random.one_in(60).then_some("AccessDenied");
    if random.below(3) == 0 {
        let who = (OPERATOR, "AssumedRole", "198.51.100.7", CONSOLE);
        let action = *pick(random, &OPERATES);
        return cloud_row(random, time, who, action, ("eu-central-1", failed));
    }
    let node = random.next();
    let node = format!("arn:aws:sts::111122223333:assumed-role/Web/i-{:017x}", u128::from(node) << 4);
    let who = match random.below(2) {
        0 => (BUILD, "IAMUser", "198.51.100.30", SDK),
        _ => (node.as_str(), "AssumedRole", "10.40.0.12", SDK),
    };
    let action = *pick(random, &BUILDS);
    cloud_row(random, time, who, action, ("eu-central-1", failed))
}

fn cloud_row(
    random: &mut Random,
    time: i64,
    who: (&str, &str, &str, &str),
    action: (&str, &str),
    (region, failed): (&str, Option<&str>),
) -> Value {
    let ((arn, kind, source, agent), (service, name)) = (who, action);
    let mut row = json!({
        "eventVersion": "1.11", "eventTime": rfc3339(time), "eventSource": format!("{service}.amazonaws.com"), "eventName": name,
        "awsRegion": region, "sourceIPAddress": source, "userAgent": agent, "recipientAccountId": "111122223333",
        "userIdentity": { "type": kind, "arn": arn, "accountId": "111122223333" },
        "readOnly": name.starts_with("Get") || name.starts_with("Describe") || name.starts_with("List"),
        "eventType": "AwsApiCall", "eventID": format!("{:016x}", random.next()), "requestParameters": null,
    });
    if service == "s3" {
        row["requestParameters"] =
            json!({ "bucketName": "example-build", "key": format!("out/{}", random.below(900)) });
    }
    if let Some(code) = failed {
        row["errorCode"] = code.into();
    }
    row
}

/// The account that builds looks at accounts, in a region where nothing runs.
fn odd_cloud(time: i64) -> Vec<Value> {
    let random = &mut Random::new(6);
    let actions =
        [("iam", "ListUsers"), ("iam", "CreateAccessKey"), ("sts", "GetCallerIdentity"), ("ec2", "RunInstances")];
    let row = |action| cloud_row(random, time, (BUILD, "IAMUser", "198.51.100.30", SDK), action, ("ap-south-1", None));
    actions.into_iter().map(row).collect()
}

pub(super) const MAIL: Log = Log {
    name: "mail",
    written: Written::JsonLines,
    ordinary: mail,
    odd: odd_mail,
    odd_unit: "billing@invoices.example.test",
    odd_view: "authentication given sender domain",
};

const STAFF: [&str; 7] = ["ada", "ben", "cleo", "dan", "eva", "finn", "gus"];

fn mail(random: &mut Random, time: i64) -> Value {
    let to = format!("{}@example.com", pick(random, &STAFF));
    let (from, client) = match random.below(10) {
        0 => ("news@list.example.org".to_owned(), "203.0.113.9"),
        1 => ("orders@shop.example.net".to_owned(), "203.0.113.40"),
        2 => ("billing@invoices.example.test".to_owned(), "198.51.100.66"),
        _ => (format!("{}@example.com", pick(random, &STAFF)), "10.20.1.25"),
    };
    let attached: &[&str] = if random.one_in(6) { &["pdf"] } else { &[] };
    mail_row(random, time, (&from, &to), (client, "pass", attached), 30_000)
}

fn mail_row(
    random: &mut Random,
    time: i64,
    (from, to): (&str, &str),
    (client, checked, attached): (&str, &str, &[&str]),
    bytes: u64,
) -> Value {
    json!({
        "time": rfc3339(time), "message_id": format!("<{:016x}@{}>", random.next(), from.rsplit('@').next().unwrap_or("x")),
        "sender": from, "recipient": to, "client_ip": client, "size": about(random, bytes), "authentication": checked,
        "attachments": attached, "verdict": "delivered", "subject_length": 10 + random.below(60),
    })
}

/// A known sender writes from elsewhere, unsigned, with a program in an archive, to everybody.
fn odd_mail(time: i64) -> Vec<Value> {
    let random = &mut Random::new(7);
    let to = |name: &&str| {
        let ends = ("billing@invoices.example.test", format!("{name}@example.com"));
        mail_row(random, time, (ends.0, &ends.1), ("192.0.2.200", "fail", &["zip", "js"]), 400_000)
    };
    STAFF.iter().map(to).collect()
}

pub(super) const CHAT: Log = Log {
    name: "chat",
    written: Written::JsonLines,
    ordinary: chat,
    odd: odd_chat,
    odd_unit: "eva",
    odd_view: "link given channel",
};

/// Who writes where.
const ROOMS: [(&str, &[&str]); 4] = [
    ("ada", &["#operations", "#general"]),
    ("ben", &["#operations", "#general"]),
    ("eva", &["#sales", "#general"]),
    ("finn", &["#sales", "#general", "#offers"]),
];

fn chat(random: &mut Random, time: i64) -> Value {
    let (user, rooms) = ROOMS[random.below(ROOMS.len() as u64) as usize];
    let room = *pick(random, rooms);
    let link = random.one_in(6).then(|| format!("https://wiki.intra.example.com/page/{}", random.below(200)));
    let file = random.one_in(15).then_some(("slides.pdf", 400_000));
    chat_row(random, time, (user, room), (link.as_deref(), file), 80)
}

fn chat_row(
    random: &mut Random,
    time: i64,
    (user, room): (&str, &str),
    (link, file): (Option<&str>, Option<(&str, u64)>),
    characters: u64,
) -> Value {
    let mut row = json!({
        "time": rfc3339(time), "user": { "name": user }, "channel": { "name": room }, "client": "desktop",
        "message": { "characters": about(random, characters), "mentions": random.zipf(3) },
    });
    if let Some(link) = link {
        row["message"]["link"] = link.into();
    }
    if let Some((name, bytes)) = file {
        row["file"] = json!({ "name": name, "bytes": about(random, bytes) });
    }
    row
}

/// Somebody of sales hands out a program in the room of operations.
fn odd_chat(time: i64) -> Vec<Value> {
    let random = &mut Random::new(8);
    let what = (Some("https://share.example.test/d/1"), Some(("tool.exe", 9_000_000)));
    (0..3).map(|_| chat_row(random, time, ("eva", "#operations"), what, 30)).collect()
}

pub(super) const LLM_GATEWAY: Log = Log {
    name: "llm-gateway",
    written: Written::JsonLines,
    ordinary: prompt,
    odd: odd_prompt,
    odd_unit: "agent-support",
    odd_view: "tools given who",
};

/// Who, whether a person, the application, the model, the tools each may call, and the class of what is sent.
type Caller =
    (&'static str, &'static str, &'static str, &'static str, &'static [&'static [&'static str]], &'static str);

const CALLERS: [Caller; 4] = [
    ("ada", "human", "assistant", "large", &[&[], &["search"], &["search", "read_page"]], "internal"),
    ("agent-support", "agent", "support", "small", &[&["find_ticket"], &["find_ticket", "answer_ticket"]], "customer"),
    ("agent-review", "agent", "review", "large", &[&["read_file"], &["read_file", "comment"]], "source"),
    ("ben", "human", "assistant", "small", &[&[], &["search"]], "internal"),
];

fn prompt(random: &mut Random, time: i64) -> Value {
    let caller = CALLERS[random.zipf(CALLERS.len())];
    let tools = *pick(random, caller.4);
    let session = format!("{}-{}", caller.0, time / 600_000_000_000);
    prompt_row(random, time, caller, (&session, tools, caller.5), 1_500)
}

fn prompt_row(
    random: &mut Random,
    time: i64,
    caller: Caller,
    (session, tools, class): (&str, &[&str], &str),
    tokens: u64,
) -> Value {
    let (who, actor, application, model, ..) = caller;
    json!({
        "time": rfc3339(time), "who": who, "actor": actor, "application": application, "session": session, "model": model,
        "tools": tools, "input_tokens": about(random, tokens), "output_tokens": about(random, 300), "classes": [class],
        "outcome": if random.one_in(80) { "blocked" } else { "allowed" },
    })
}

/// The agent that answers tickets reads files and sends them somewhere.
fn odd_prompt(time: i64) -> Vec<Value> {
    let random = &mut Random::new(9);
    let what = ("agent-support-x", &["read_file", "http_post"][..], "source");
    (0..4).map(|_| prompt_row(random, time, CALLERS[1], what, 40_000)).collect()
}
