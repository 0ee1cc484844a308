//! Conditions on rows: comparisons of columns with values, joined by `and` and `or` (docs/contracts.md §1, "Filters").
//!
//! ```text
//! condition  = conjunct { "or" conjunct }
//! conjunct   = term { "and" term }
//! term       = "(" condition ")" | column comparison | column "in" "(" value { "," value } ")"
//! comparison = ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
//! column     = letters, digits, "_" and "." | '"' anything '"'
//! value      = "'" text "'" | number | "true" | "false"
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A condition is at most this long, in bytes.
const LONGEST: usize = 64 << 10;
/// Parentheses in parentheses.
const DEEPEST: usize = 64;

/// What must hold of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All of these.
    And(Vec<Condition>),
    /// One of these.
    Or(Vec<Condition>),
    /// A column compares so with a value.
    Compare(String, Comparison, Value),
    /// A column is one of these values.
    In(String, Vec<Value>),
}

/// How a column compares with a value. None holds where the column is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    const ALL: [(&str, Self); 6] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("!=", Self::Unequal),
        ("=", Self::Equal),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// Whether it holds, if what is there compares so with the value; `None` if the two do not compare.
    pub(crate) fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::Unequal => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// A value that columns are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text; of a column of times the day or moment that it names.
    Text(String),
    /// A whole number.
    Int(i128),
    /// Another number.
    Float(f64),
    /// A moment, ns since 1970.
    Time(i64),
}

impl Condition {
    /// The columns that it asks for.
    pub(crate) fn columns(&self) -> Vec<&str> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::columns).collect(),
            Self::Compare(column, ..) | Self::In(column, _) => vec![column],
        }
    }
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {at}: {why}")]
pub struct ConditionError {
    /// Where, counted from 1.
    pub at: usize,
    /// Reason in words.
    pub why: String,
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        if text.len() > LONGEST {
            return Err(parser.wrong(format!("longer than {} KiB", LONGEST >> 10)));
        }
        let condition = parser.condition()?;
        parser.space();
        match parser.rest() {
            "" => Ok(condition),
            _ => Err(parser.wrong("expected and, or, or the end")),
        }
    }
}

/// Writes a condition so that it is read as the same one.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, all: &[Self], word: &str| {
            for (at, one) in all.iter().enumerate() {
                f.write_str(if at == 0 { "" } else { word })?;
                match one {
                    Self::And(_) | Self::Or(_) => write!(f, "({one})")?,
                    _ => write!(f, "{one}")?,
                }
            }
            Ok(())
        };
        match self {
            Self::And(all) => joined(f, all, " and "),
            Self::Or(all) => joined(f, all, " or "),
            Self::Compare(column, comparison, value) => {
                let sign = Comparison::ALL.iter().find(|(_, known)| known == comparison).map_or("=", |(sign, _)| *sign);
                write!(f, "{} {sign} {value}", quoted(column))
            }
            Self::In(column, values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "{} in ({})", quoted(column), values.join(", "))
            }
        }
    }
}

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:e}"),
            Self::Time(time) => write!(f, "'{}'", store::rfc3339(*time)),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn condition(&mut self) -> Result<Condition, ConditionError> {
        self.joined("or", Condition::Or, |parser| parser.joined("and", Condition::And, Self::term))
    }

    /// One or more with a word between them.
    fn joined(
        &mut self,
        word: &str,
        join: fn(Vec<Condition>) -> Condition,
        mut one: impl FnMut(&mut Self) -> Result<Condition, ConditionError>,
    ) -> Result<Condition, ConditionError> {
        let first = one(self)?;
        let mut all = vec![first];
        while self.word(word) {
            all.push(one(self)?);
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { join(all) })
    }

    fn term(&mut self) -> Result<Condition, ConditionError> {
        if self.sign("(") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(self.wrong(format!("more than {DEEPEST} parentheses in one another")));
            }
            let condition = self.condition()?;
            self.depth -= 1;
            return if self.sign(")") { Ok(condition) } else { Err(self.wrong("expected )")) };
        }
        let column = self.column()?;
        if self.word("in") {
            return Ok(Condition::In(column, self.values()?));
        }
        match Comparison::ALL.iter().find(|(sign, _)| self.sign(sign)) {
            Some((_, comparison)) => Ok(Condition::Compare(column, *comparison, self.value()?)),
            None => Err(self.wrong("expected =, !=, <, <=, >, >= or in")),
        }
    }

    fn values(&mut self) -> Result<Vec<Value>, ConditionError> {
        if !self.sign("(") {
            return Err(self.wrong("expected ( and values after in"));
        }
        let mut values = vec![self.value()?];
        while self.sign(",") {
            values.push(self.value()?);
        }
        if self.sign(")") { Ok(values) } else { Err(self.wrong("expected , or )")) }
    }

    fn column(&mut self) -> Result<String, ConditionError> {
        if let Some(name) = self.quoted('"')? {
            return Ok(name);
        }
        let name: String = self.rest().chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wrong("expected the name of a column"));
        }
        self.at += name.len();
        Ok(name)
    }

    fn value(&mut self) -> Result<Value, ConditionError> {
        if let Some(text) = self.quoted('\'')? {
            return Ok(Value::Text(text));
        }
        for word in ["true", "false"] {
            if self.word(word) {
                return Ok(Value::Text(word.to_owned()));
            }
        }
        let wanted = "expected a number, or a text in single quotes";
        let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let text: String = self.rest().chars().take_while(is_part).collect();
        // What the standard library reads beside numbers, such as `inf`, begins with a letter.
        if !text.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wrong(wanted));
        }
        // What is too large for a number would be read as infinite.
        let float = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float);
        let number = text.parse().map(Value::Int).ok().or_else(float);
        let number = number.ok_or_else(|| self.wrong(wanted))?;
        self.at += text.len();
        Ok(number)
    }

    /// A text in quotes, in which two quotes are one.
    fn quoted(&mut self, quote: char) -> Result<Option<String>, ConditionError> {
        self.space();
        let Some(mut rest) = self.rest().strip_prefix(quote) else { return Ok(None) };
        let mut out = String::new();
        loop {
            let Some((before, after)) = rest.split_once(quote) else {
                return Err(self.wrong(format!("no {quote} ends this")));
            };
            out.push_str(before);
            match after.strip_prefix(quote) {
                Some(more) => {
                    out.push(quote);
                    rest = more;
                }
                None => {
                    self.at = self.text.len() - after.len();
                    return Ok(Some(out));
                }
            }
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    /// A word in whatever letter case, not one that goes on.
    fn word(&mut self, word: &str) -> bool {
        self.space();
        let rest = self.rest();
        let found = rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
            && !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn wrong(&self, why: impl Into<String>) -> ConditionError {
        ConditionError { at: self.text[..self.at].chars().count() + 1, why: why.into() }
    }
}

#[cfg(test)]
#[path = "condition/tests.rs"] // also where the fuzz target takes this file
mod tests;
