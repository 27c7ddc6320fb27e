//! The parameters of a request. Unknown ones are ignored.

use super::{MAX_ID, problem::Problem};

/// How many items a page has where nothing is said.
const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 200;

#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The value of a parameter, which may not be there twice.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value.map(|(_, value)| value.as_str())),
            (_, Some(_)) => Err(Problem::invalid_field(name, "must not be repeated")),
        }
    }

    pub(crate) fn limit(&self) -> Result<u16, Problem> {
        let Some(limit) = self.get("limit")? else { return Ok(DEFAULT_LIMIT) };
        let limit = digits(limit).and_then(|digits| digits.parse().ok());
        limit.filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
            Problem::invalid_field("limit", format_args!("must be 1 to {MAX_LIMIT}"))
        })
    }

    /// A message id of at least `least`.
    pub(crate) fn id(&self, name: &str, least: i64) -> Result<Option<i64>, Problem> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        let id = digits(text).and_then(|digits| digits.parse().ok());
        match id.filter(|id| (least..=MAX_ID).contains(id)) {
            Some(id) => Ok(Some(id)),
            None => Err(Problem::invalid_field(name, "must be a message id")),
        }
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name)? else { return Ok(None) };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
                let problem = format!("must be {}", words.join(" or "));
                Err(Problem::invalid_field(name, problem))
            }
        }
    }
}

/// A message id as a path or a form has it.
pub(crate) fn message_id(text: &str) -> Option<i64> {
    digits(text)?.parse().ok().filter(|id| (1..=MAX_ID).contains(id))
}

fn digits(text: &str) -> Option<&str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_to_two_hundred() {
        let limit = |query: &str| Query::parse(Some(query)).limit().ok();
        assert_eq!(limit(""), Some(50));
        assert_eq!(limit("limit=1&other=x"), Some(1));
        assert_eq!(limit("limit=%32%30%30"), Some(200));
        for wrong in ["0", "201", "", "+1", "-1", "1.0", "x", "99999999999", "1&limit=1"] {
            assert_eq!(limit(&format!("limit={wrong}")), None, "{wrong}");
        }
    }

    #[test]
    fn an_id_is_an_integer_that_every_client_has() {
        let id = |text: &str| Query::parse(Some(&format!("before={text}"))).id("before", 1).ok();
        assert_eq!(id("9007199254740991"), Some(Some(9_007_199_254_740_991)));
        for wrong in ["9007199254740992", "0", "1e3", "", "-1"] {
            assert_eq!(id(wrong), None, "{wrong}");
            assert_eq!(message_id(wrong), None, "{wrong}");
        }
        assert_eq!(Query::parse(Some("after=0")).id("after", 0).ok(), Some(Some(0)));
        assert_eq!(Query::parse(None).id("after", 0).ok(), Some(None));
    }

    #[test]
    fn a_choice_is_one_of_the_words() {
        let order =
            |query| Query::parse(Some(query)).choice("order", &[("newest", 1), ("oldest", 2)]).ok();
        assert_eq!(order("order=oldest"), Some(Some(2)));
        assert_eq!(order("limit=1"), Some(None));
        assert_eq!(order("order=Newest"), None);
    }
}
