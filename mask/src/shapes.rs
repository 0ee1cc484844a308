//! Secrets that are known by their shape.

use crate::edit::Spans;
use regex::Regex;

/// A family of secrets with a shape of its own.
struct Shape {
    family: &'static str,
    /// The family is looked for where one of these stands, in letters of either case.
    marks: &'static [&'static str],
    /// What is hidden is the first group. Short ends count too, as a list may be cut anywhere.
    pattern: &'static str,
}

const SHAPES: &[Shape] = &[
    Shape {
        family: "AWS access key id",
        marks: &["akia", "asia"],
        pattern: r"(?-u:\b)A[KS]IA([A-Z0-9]{12,}|[A-Z0-9]{4,}$)",
    },
    Shape {
        family: "GitHub token",
        marks: &["ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_"],
        pattern: r"(?:gh[opsur]_|github_pat_)([A-Za-z0-9_]{4,})",
    },
    Shape {
        family: "GitLab token",
        marks: &["glpat-", "glptt-", "gldt-", "glrt-", "glcbt-"],
        pattern: r"gl(?:pat|ptt|dt|rt|cbt)-([A-Za-z0-9_.-]+)",
    },
    Shape { family: "Slack token", marks: &["xox", "xapp-"], pattern: r"(?:xox[a-z]|xapp)-([A-Za-z0-9-]+)" },
    Shape {
        family: "webhook",
        marks: &["hooks.slack.com/", "/api/webhooks/", "webhook.office.com/"],
        pattern: r#"(?:hooks\.slack\.com/(?:services|workflows)/|/api/webhooks/[0-9]+/|webhook\.office\.com/)([^\s"'?]+)"#,
    },
    Shape {
        family: "Stripe key",
        marks: &["k_live_", "k_test_", "whsec_"],
        pattern: r"(?:[srp]k_(?:live|test)_|whsec_)([A-Za-z0-9]{4,})",
    },
    Shape {
        family: "Google key",
        marks: &["aiza", "ya29.", "gocspx-"],
        pattern: r"(?:AIza|ya29\.|GOCSPX-)([A-Za-z0-9_-]{4,})",
    },
    Shape { family: "JWT", marks: &["eyj"], pattern: r"eyJ([A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4})" },
    Shape {
        family: "private key",
        marks: &["private key"],
        pattern: r"(?s)-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----(.+?)(?:-----END|$)",
    },
    Shape { family: "age key", marks: &["age-secret-key-"], pattern: r"AGE-SECRET-KEY-1([A-Z0-9]{4,})" },
    Shape { family: "npm token", marks: &["npm_"], pattern: r"npm_([A-Za-z0-9]{20,}|[A-Za-z0-9]{4,}$)" },
    Shape { family: "PyPI token", marks: &["pypi-ag"], pattern: r"pypi-(Ag[A-Za-z0-9_-]*)" },
    Shape {
        family: "service token",
        marks: &["sk-", "hf_", "hvs.", "hvb.", "_v1_", "dckr_pat_", "sg.", "dapi", "lin_api_", "xkeysib-", "shpat_"],
        pattern: r"(?-u:\b)(?:(?:sk-|SG\.|lin_api_|xkeysib-)([A-Za-z0-9_.-]{16,})|(?:hf_|dapi|shpat_)([A-Za-z0-9]{16,})|(?:hv[sbr]\.|do[oprt]_v1_|dckr_pat_)([A-Za-z0-9_-]{4,}))",
    },
    Shape { family: "Telegram bot", marks: &["bot"], pattern: r"/bot[0-9]{5,12}:([A-Za-z0-9_-]{4,})" },
    Shape {
        family: "bearer token",
        marks: &["bearer", "basic "],
        pattern: r#"(?i)(?-u:\b)(?:bearer\s+([A-Za-z0-9._~+/=-]*[0-9._~+/=][A-Za-z0-9._~+/=-]{7,})|basic\s+([A-Za-z0-9+/]{12,}={0,2}))"#,
    },
    Shape {
        family: "SQL password",
        marks: &["identified", "password"],
        pattern: r#"(?i)(?:identified\s+(?:with\s+[^\s]+\s+)?(?:by|as)\s+(?:password\s+)?\\*["']|(?-u:\b)password(?:\s+for\s+[^\s]+\s*=|\s*\()?\s*(?:'\\'|'"'"|\\)*')([^"'\\]{1,200})"#,
    },
];

/// A constant pattern, compiled.
#[allow(clippy::expect_used)]
pub(crate) fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("patterns are constants, and a test compiles each")
}

/// The families, ready to look.
#[derive(Debug)]
pub(crate) struct Shapes(Vec<Regex>);

impl Shapes {
    pub(crate) fn new() -> Self {
        Self(SHAPES.iter().map(|shape| compile(shape.pattern)).collect())
    }

    /// Marks of each family, by its number.
    pub(crate) fn marks() -> impl Iterator<Item = (usize, &'static str)> {
        SHAPES.iter().enumerate().flat_map(|(family, shape)| shape.marks.iter().map(move |mark| (family, *mark)))
    }

    /// The parts of a text that have the shape of a family whose bit is set.
    pub(crate) fn find(&self, text: &str, families: u64, spans: &mut Spans) {
        for (number, pattern) in self.0.iter().enumerate().filter(|(number, _)| families & (1 << number) != 0) {
            for found in pattern.captures_iter(text) {
                let part = found.iter().skip(1).flatten().next();
                debug_assert!(part.is_some(), "{} hides a group", SHAPES[number].family);
                spans.extend(part.map(|part| part.range()));
            }
        }
    }
}
