//! Arguments as one line.

/// The arguments between spaces, each in single quotes where a POSIX shell would not take it as it is: the line says where one ends.
pub(crate) fn line<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&b) || !b.is_ascii();
        if !word.is_empty() && word.bytes().all(is_plain) {
            line.push_str(word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', r"'\''"));
            line.push('\'');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_says_where_arguments_end() {
        assert_eq!(
            line(["curl", "-o", "/tmp/x", "http://10.0.0.7:4444/"].into_iter()),
            "curl -o /tmp/x http://10.0.0.7:4444/"
        );
        assert_eq!(line(["sh", "-c", "id; echo 'x y'", "", "é"].into_iter()), r"sh -c 'id; echo '\''x y'\''' '' é");
        assert_eq!(line(std::iter::empty()), "");
    }
}
