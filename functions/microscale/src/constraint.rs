//! ECS's cluster query language, as far as a host's attributes can answer it.
//!
//! The language is described in the ECS developer guide, "Create expressions to define container instances for Amazon ECS
//! tasks". What the attributes cannot answer (`task:group`, `agentVersion`, `registeredAt`) is not understood, so that
//! the caller leaves the service alone instead of guessing.

use std::collections::BTreeMap;

use regex_lite::Regex;

/// Deeper nesting than this is no expression that anybody wrote.
const DEEPEST: usize = 32;
/// ECS itself takes at most 2,000 characters.
const LONGEST: usize = 2_000;

/// Why an expression is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {problem}")]
pub struct ExpressionError {
    /// Where, counted in bytes from 0.
    pub at: usize,
    /// What is wrong, or was expected.
    pub problem: String,
}

/// An expression over a host's attributes.
#[derive(Debug, Clone)]
pub struct Expression(Node);

#[derive(Debug, Clone)]
enum Node {
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Test { attribute: String, test: Test },
}

#[derive(Debug, Clone)]
enum Test {
    Exists,
    Equals(String),
    In(Vec<String>),
    Matches(Regex),
    /// Compares as numbers; the flags say whether less, equal and greater are accepted.
    Compares {
        with: f64,
        less: bool,
        equal: bool,
        greater: bool,
    },
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ExpressionError`] with the place, also where AWS would understand it and a host's attributes cannot answer.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let error = |at, problem: &str| ExpressionError { at, problem: problem.to_owned() };
        if text.len() > LONGEST {
            return Err(error(LONGEST, "longer than ECS accepts"));
        }
        let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len() };
        let node = parser.any(0)?;
        match parser.tokens.get(parser.next) {
            None => Ok(Self(node)),
            Some(token) => Err(error(token.at, "expected `and`, `or` or the end")),
        }
    }

    /// Whether a host with these attributes is meant.
    #[must_use]
    pub fn matches(&self, attributes: &BTreeMap<String, String>) -> bool {
        holds(&self.0, attributes)
    }
}

fn holds(node: &Node, attributes: &BTreeMap<String, String>) -> bool {
    match node {
        Node::Not(inner) => !holds(inner, attributes),
        Node::And(all) => all.iter().all(|node| holds(node, attributes)),
        Node::Or(any) => any.iter().any(|node| holds(node, attributes)),
        Node::Test { attribute, test } => attributes.get(attribute).is_some_and(|value| match test {
            Test::Exists => true,
            Test::Equals(wanted) => value == wanted,
            Test::In(wanted) => wanted.contains(value),
            Test::Matches(regex) => regex.is_match(value),
            Test::Compares { with, less, equal, greater } => {
                match value.parse::<f64>().ok().and_then(|v| v.partial_cmp(with)) {
                    Some(std::cmp::Ordering::Less) => *less,
                    Some(std::cmp::Ordering::Equal) => *equal,
                    Some(std::cmp::Ordering::Greater) => *greater,
                    None => false,
                }
            }
        }),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    at: usize,
    text: String,
    /// Was in quotes, so it is a value whatever it looks like.
    quoted: bool,
}

/// Signs, longest first, so that `!=` is not read as `!`.
const SIGNS: [&str; 17] =
    ["!exists", "!in", "==", "!=", "=~", "!~", ">=", "<=", "&&", "||", ">", "<", "!", "(", ")", "[", "]"];

fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() || first == ',' {
            at += first.len_utf8();
            continue;
        }
        if first == '"' || first == '\'' {
            let Some(length) = rest[1..].find(first) else {
                return Err(ExpressionError { at, problem: "the quote is not closed".to_owned() });
            };
            tokens.push(Token { at, text: rest[1..=length].to_owned(), quoted: true });
            at += length + 2;
            continue;
        }
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
        let length = sign.map_or_else(|| word_length(rest), |sign| sign.len());
        tokens.push(Token { at, text: rest[..length].to_owned(), quoted: false });
        at += length;
    }
    Ok(tokens)
}

/// Up to white space or a sign that cannot be part of a value or a pattern.
fn word_length(text: &str) -> usize {
    let ends =
        |c: char| c.is_whitespace() || matches!(c, ',' | '(' | ')' | '[' | ']' | '=' | '!' | '<' | '>' | '&' | '|');
    text.find(ends).filter(|length| *length > 0).unwrap_or_else(|| match text.find(ends) {
        Some(_) => text.chars().next().map_or(1, char::len_utf8),
        None => text.len(),
    })
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    end: usize,
}

impl Parser {
    fn error(&self, problem: impl Into<String>) -> ExpressionError {
        ExpressionError { at: self.tokens.get(self.next).map_or(self.end, |token| token.at), problem: problem.into() }
    }

    fn take(&mut self, words: &[&str]) -> bool {
        let found =
            self.tokens.get(self.next).is_some_and(|token| !token.quoted && words.contains(&token.text.as_str()));
        self.next += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut nodes = vec![self.all(depth)?];
        while self.take(&["or", "||"]) {
            nodes.push(self.all(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Or(nodes) })
    }

    fn all(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let mut nodes = vec![self.one(depth)?];
        while self.take(&["and", "&&"]) {
            nodes.push(self.one(depth)?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::And(nodes) })
    }

    fn one(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        if depth > DEEPEST {
            return Err(self.error("nested too deeply"));
        }
        if self.take(&["not", "!"]) {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take(&["("]) {
            let inner = self.any(depth + 1)?;
            return if self.take(&[")"]) { Ok(inner) } else { Err(self.error("expected `)`")) };
        }
        self.test()
    }

    fn test(&mut self) -> Result<Node, ExpressionError> {
        let subject = self.value("a subject such as `attribute:ecs.instance-type`")?;
        let attribute = match subject.strip_prefix("attribute:") {
            Some(attribute) if !attribute.is_empty() => attribute.to_owned(),
            _ => {
                self.next -= 1;
                return Err(self.error(format!("{subject:?} cannot be told from a host's attributes")));
            }
        };
        let positive = |test| Ok(Node::Test { attribute: attribute.clone(), test });
        let negative = |test| Ok(Node::Not(Box::new(Node::Test { attribute: attribute.clone(), test })));
        let compares = |with, less, equal, greater| Test::Compares { with, less, equal, greater };
        if self.take(&["exists"]) {
            positive(Test::Exists)
        } else if self.take(&["!exists", "not_exists"]) {
            negative(Test::Exists)
        } else if self.take(&["==", "equals"]) {
            positive(Test::Equals(self.value("a value")?))
        } else if self.take(&["!=", "not_equals"]) {
            negative(Test::Equals(self.value("a value")?))
        } else if self.take(&["in"]) {
            positive(Test::In(self.list()?))
        } else if self.take(&["!in", "not_in"]) {
            negative(Test::In(self.list()?))
        } else if self.take(&["=~", "matches"]) {
            positive(Test::Matches(self.pattern()?))
        } else if self.take(&["!~", "not_matches"]) {
            negative(Test::Matches(self.pattern()?))
        } else if self.take(&[">", "greater_than"]) {
            positive(compares(self.number()?, false, false, true))
        } else if self.take(&[">=", "greater_than_equal"]) {
            positive(compares(self.number()?, false, true, true))
        } else if self.take(&["<", "less_than"]) {
            positive(compares(self.number()?, true, false, false))
        } else if self.take(&["<=", "less_than_equal"]) {
            positive(compares(self.number()?, true, true, false))
        } else {
            Err(self.error("expected an operator such as `==`, `in`, `=~` or `exists`"))
        }
    }

    fn value(&mut self, expected: &str) -> Result<String, ExpressionError> {
        let token = self.tokens.get(self.next).filter(|token| token.quoted || !SIGNS.contains(&token.text.as_str()));
        let Some(token) = token.cloned() else { return Err(self.error(format!("expected {expected}"))) };
        self.next += 1;
        Ok(token.text)
    }

    fn list(&mut self) -> Result<Vec<String>, ExpressionError> {
        if !self.take(&["["]) {
            return Err(self.error("expected a list such as `[a, b]`"));
        }
        let mut values = Vec::new();
        while !self.take(&["]"]) {
            values.push(self.value("a value or `]`")?);
        }
        Ok(values)
    }

    fn number(&mut self) -> Result<f64, ExpressionError> {
        let text = self.value("a number")?;
        text.parse().map_err(|_| {
            self.next -= 1;
            self.error(format!("{text:?} is not a number"))
        })
    }

    /// A pattern must match the whole value, as in Java.
    fn pattern(&mut self) -> Result<Regex, ExpressionError> {
        let text = self.value("a pattern")?;
        Regex::new(&format!("^(?:{text})$")).map_err(|error| {
            self.next -= 1;
            self.error(format!("{text:?} is not a pattern: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host() -> BTreeMap<String, String> {
        [
            ("ecs.instance-type", "g4dn.xlarge"),
            ("ecs.availability-zone", "eu-west-1a"),
            ("stack", "prod"),
            ("size", "4"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn expressions_of_the_developer_guide_are_answered() -> Result<(), ExpressionError> {
        for (text, expected) in [
            ("attribute:ecs.instance-type =~ g4dn.*", true),
            ("attribute:ecs.instance-type =~ g4", false),
            ("attribute:ecs.instance-type !~ t3.*", true),
            ("attribute:ecs.availability-zone in [eu-west-1a, eu-west-1b]", true),
            ("attribute:ecs.availability-zone !in [eu-west-1a, eu-west-1b]", false),
            ("attribute:ecs.availability-zone == eu-west-1a and attribute:stack == prod", true),
            ("attribute:stack != 'prod' or attribute:size >= 4", true),
            ("not(attribute:stack exists) || attribute:size > 4", false),
            ("!(attribute:color exists)", true),
            ("attribute:color !exists && attribute:stack equals \"prod\"", true),
            ("attribute:color == red", false),
            ("attribute:color != red", true),
        ] {
            assert_eq!(Expression::parse(text)?.matches(&host()), expected, "{text}");
        }
        Ok(())
    }

    #[test]
    fn what_attributes_cannot_answer_is_not_understood() {
        for text in [
            "",
            "task:group == service:web",
            "agentVersion >= 1.73",
            "attribute: == x",
            "attribute:a",
            "attribute:a ==",
            "attribute:a in [x",
            "attribute:a =~ (",
            "attribute:a > tall",
            "(attribute:a exists",
            "attribute:a exists attribute:b exists",
            "attribute:a == 'x",
        ] {
            assert!(Expression::parse(text).is_err(), "{text} was understood");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = Expression::parse(&text);
        }

        #[test]
        fn nothing_that_looks_like_an_expression_makes_it_panic(
            words in proptest::collection::vec(
                prop_oneof!["attribute:[a-z]{1,3}", "(==|!=|=~|in|exists|and|or|not|\\(|\\)|\\[|\\]|!|,|'|>)", "[a-z*+(]{1,4}"], 0..20)
        ) {
            let _ = Expression::parse(&words.join(" "));
        }
    }
}
