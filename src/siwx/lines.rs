//! The lines of a signing text: which of them is the header, the account, the statement, a field.
//!
//! This is stage 1 of reading (message.md section 3), one pass from the front. Lines are told apart here and
//! nowhere else; what stands in them is judged afterwards. Two texts of the wild are refused on purpose: a
//! statement of several lines, because one of them could pose as a field, and a statement that begins with a
//! tag, because readers disagree on what it is.

use super::{
    Field,
    error::{Code, MessageError, Shown},
};

/// The words that make a line a header, and may occur nowhere else in a text.
pub(super) const HEADER_PHRASE: &str = " wants you to sign in with your ";

/// What ends a header.
pub(super) const HEADER_END: &str = " account:";

/// A text cut into its lines.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    /// What stands before the phrase of the header: a domain, perhaps after a scheme.
    pub(super) origin: &'a str,
    /// What stands between the phrase and ` account:`.
    pub(super) label: &'a str,
    /// Line 2.
    pub(super) account: &'a str,
    /// Absent, empty and filled are three things.
    pub(super) statement: Option<&'a str>,
    /// How many empty lines follow the account line directly.
    pub(super) blank_lines: u8,
    /// The values behind the tags, in the order of [`Field::TAGGED`].
    fields: [Option<Line<'a>>; 8],
    /// Whether Chain ID took the later of its two places.
    pub(super) chain_id_last: bool,
    /// The entries below `Resources:`; empty if the heading stands alone.
    pub(super) resources: Option<Vec<Line<'a>>>,
}

/// A line, or what is left of it behind its tag, and its number, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// The order of fields: URI has 1, Request ID 8, and Chain ID comes third or ninth.
const RANK_CHAIN_ID: usize = 3;
const RANK_CHAIN_ID_LAST: usize = 9;

impl<'a> Lines<'a> {
    /// Cuts a text that holds no forbidden character and does not end with a line feed.
    pub(super) fn of(text: &'a str) -> Result<Self, MessageError> {
        let mut lines = text.split('\n').zip(1..).map(|(text, number)| Line { number, text });
        let (origin, label) = read_header(lines.next().map_or("", |line| line.text))?;
        let account = lines.next().map_or("", |line| line.text);
        if account.is_empty() {
            return Err(MessageError::new(Code::MissingAccount, "expected an account on line 2"));
        }
        let mut read = Self {
            origin,
            label,
            account,
            statement: None,
            blank_lines: 0,
            fields: [None; 8],
            chain_id_last: false,
            resources: None,
        };
        let Some(separator) = lines.next() else {
            return Ok(read);
        };
        if !separator.text.is_empty() {
            let sentence = format!("expected an empty line 3, found `{}`", Shown(separator.text));
            return Err(MessageError::new(Code::MissingBlankLine, sentence));
        }
        read.blank_lines = 1;
        if let Some(first) = read.read_statement(&mut lines)? {
            read.read_fields(first, lines)?;
        }
        Ok(read)
    }

    /// The value of a tagged line.
    pub(super) fn field(&self, field: Field) -> Option<Line<'a>> {
        slot(field).and_then(|slot| self.fields[slot])
    }

    /// Reads what stands between line 3 and the fields, and gives the first line of these; nothing if the text
    /// ends with its statement.
    fn read_statement(&mut self, lines: &mut impl Iterator<Item = Line<'a>>) -> Result<Option<Line<'a>>, MessageError> {
        // Line 3 was empty, and a text does not end with a line feed: line 4 is there.
        let Some(mut line) = lines.next() else {
            return Ok(None);
        };
        if tag(line.text).is_some() {
            return Ok(Some(line));
        }
        if !line.text.is_empty() {
            self.statement = Some(line.text);
            let Some(after) = lines.next() else {
                return Ok(None);
            };
            if !after.text.is_empty() {
                let sentence = format!(
                    "the statement must be one line followed by an empty line; line {} is not empty",
                    after.number
                );
                return Err(MessageError::new(Code::MultilineStatement, sentence));
            }
            return Ok(lines.next());
        }
        self.blank_lines = 2;
        if let Some(next) = lines.next() {
            line = next;
        }
        if line.text.is_empty() {
            self.statement = Some("");
            self.blank_lines = 3;
            return Ok(lines.next());
        }
        Ok(Some(line))
    }

    fn read_fields(&mut self, first: Line<'a>, mut rest: impl Iterator<Item = Line<'a>>) -> Result<(), MessageError> {
        let mut rank = 0;
        let mut next = Some(first);
        while let Some(line) = next {
            if line.text.is_empty() {
                return Err(unexpected_blank_line(line));
            }
            let Some((field, value)) = tag(line.text) else {
                let sentence = format!("expected a field on line {}, found `{}`", line.number, Shown(line.text));
                return Err(MessageError::new(Code::UnknownField, sentence));
            };
            let Some(slot) = slot(field) else {
                return self.read_resources(line.number, rest);
            };
            if self.fields[slot].is_some() {
                return Err(duplicate_field(field));
            }
            let own_rank = match field {
                Field::ChainId if rank >= RANK_CHAIN_ID => RANK_CHAIN_ID_LAST,
                _ => slot + 1,
            };
            if own_rank <= rank {
                return Err(field_order(field, line));
            }
            self.chain_id_last |= own_rank == RANK_CHAIN_ID_LAST;
            rank = own_rank;
            self.fields[slot] = Some(Line { number: line.number, text: value });
            next = rest.next();
        }
        Ok(())
    }

    /// Takes every line that is left: nothing may follow the resources.
    fn read_resources(&mut self, heading: usize, rest: impl Iterator<Item = Line<'a>>) -> Result<(), MessageError> {
        let mut entries = Vec::new();
        for line in rest {
            if let Some(entry) = line.text.strip_prefix("- ") {
                entries.push(Line { number: line.number, text: entry });
                continue;
            }
            return Err(match tag(line.text) {
                _ if line.text.is_empty() => unexpected_blank_line(line),
                Some((Field::Resources, _)) => duplicate_field(Field::Resources),
                Some((field, _)) if self.field(field).is_some() => duplicate_field(field),
                Some((field, _)) => field_order(field, line),
                None => {
                    let sentence = format!(
                        "expected `- ` and a URI on line {}, below `Resources:` on line {heading}, found `{}`",
                        line.number,
                        Shown(line.text)
                    );
                    MessageError::new(Code::InvalidResource, sentence)
                }
            });
        }
        self.resources = Some(entries);
        Ok(())
    }
}

fn read_header(line: &str) -> Result<(&str, &str), MessageError> {
    let parts = line.split_once(HEADER_PHRASE).and_then(|(origin, rest)| {
        let label = rest.strip_suffix(HEADER_END)?;
        // The phrase begins and ends with a space: a second one may share that space with the first.
        let again = line[origin.len() + 1..].contains(HEADER_PHRASE);
        (!again).then_some((origin, label))
    });
    parts.ok_or_else(|| {
        let sentence = format!(
            "expected `<domain> wants you to sign in with your <name> account:` on line 1, found `{}`",
            Shown(line)
        );
        MessageError::new(Code::InvalidHeader, sentence)
    })
}

/// The field a line is tagged as, and what follows the tag.
fn tag(line: &str) -> Option<(Field, &str)> {
    if line == Field::Resources.tag() {
        return Some((Field::Resources, ""));
    }
    Field::TAGGED.into_iter().find_map(|field| Some((field, line.strip_prefix(field.tag())?)))
}

/// The place of a field among the tagged ones; its rank is one more.
fn slot(field: Field) -> Option<usize> {
    Field::TAGGED.iter().position(|tagged| *tagged == field)
}

fn unexpected_blank_line(line: Line<'_>) -> MessageError {
    let sentence = format!("line {} is empty; expected a field", line.number);
    MessageError::new(Code::UnexpectedBlankLine, sentence)
}

fn duplicate_field(field: Field) -> MessageError {
    MessageError::about(field, Code::DuplicateField, format!("`{}` appears twice", field.tag()))
}

fn field_order(field: Field, line: Line<'_>) -> MessageError {
    let sentence = format!("`{}` on line {} comes too late; fields have a fixed order", field.tag(), line.number);
    MessageError::about(field, Code::FieldOrder, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let rows = [
            ("a wants you to sign in with your B account:", Some(("a", "B"))),
            (" wants you to sign in with your  account:", Some(("", ""))),
            ("a wants you to sign in with your account:", None),
            ("a wants you to sign in with your B account: ", None),
            ("a wants you to sign in with your B wants you to sign in with your C account:", None),
            ("a wants you to sign in with your wants you to sign in with your C account:", None),
            ("a Wants you to sign in with your B account:", None),
            ("", None),
        ];
        for (line, expected) in rows {
            let read = read_header(line);
            assert_eq!(read.as_ref().ok().copied(), expected, "{line}");
            if let Err(error) = read {
                assert_eq!(error.code(), Code::InvalidHeader, "{line}");
            }
        }
    }

    #[test]
    fn lines_know_their_numbers() {
        let text =
            "a wants you to sign in with your B account:\nx\n\n\n\nURI: u\nNonce: n\nChain ID: c\nResources:\n- r";
        let lines = Lines::of(text).expect("a text");
        assert_eq!(lines.blank_lines, 3);
        assert_eq!(lines.statement, Some(""));
        assert_eq!(lines.field(Field::Uri), Some(Line { number: 6, text: "u" }));
        assert_eq!(lines.field(Field::ChainId), Some(Line { number: 8, text: "c" }));
        assert_eq!(lines.field(Field::Version), None);
        assert!(lines.chain_id_last);
        assert_eq!(lines.resources, Some(vec![Line { number: 10, text: "r" }]));
    }

    #[test]
    fn sentences_name_the_line() {
        let rows = [
            ("\nx\n\nS\nT", "the statement must be one line followed by an empty line; line 5 is not empty"),
            ("\nx\n\nS\n\n\nURI: u", "line 6 is empty; expected a field"),
            ("\nx\n\nURI: u\nURL: v", "expected a field on line 5, found `URL: v`"),
            ("\nx\n\nURI: u\nURI: v", "`URI: ` appears twice"),
            ("\nx\n\nNonce: u\nVersion: v", "`Version: ` on line 5 comes too late; fields have a fixed order"),
            ("\nx\n\nResources:\n-r", "expected `- ` and a URI on line 5, below `Resources:` on line 4, found `-r`"),
            ("\nx\n\nURI: u\nResources:\nURI: v", "`URI: ` appears twice"),
            ("\nx\n\nResources:\nURI: v", "`URI: ` on line 5 comes too late; fields have a fixed order"),
            ("\nx\nS", "expected an empty line 3, found `S`"),
            ("", "expected an account on line 2"),
        ];
        for (tail, sentence) in rows {
            let text = format!("a wants you to sign in with your B account:{tail}");
            let error = Lines::of(&text).expect_err(&text);
            assert_eq!(error.to_string(), sentence);
        }
    }
}
