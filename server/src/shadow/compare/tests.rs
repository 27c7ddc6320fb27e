use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::*;

/// Path and kind of each difference.
fn differences(original: &str, candidate: &str) -> Vec<(String, Kind)> {
    let mut found = Vec::new();
    let mut path = String::from("$");
    compare(&mut path, original, candidate, &mut |difference| {
        found.push((difference.path.to_owned(), difference.kind));
    });
    assert_eq!(path, "$");
    found
}

#[test]
fn each_kind_of_difference_is_told_where_it_is() {
    for (original, candidate, expected) in [
        (r#"{"a":1}"#, r#"{"a":1}"#, vec![]),
        (r#"{"a":1}"#, r#"{ "a" : 1 }"#, vec![]),
        (r#"{"a":"\u00e9\/"}"#, r#"{"a":"é/"}"#, vec![]),
        (r#"{"a":1.50}"#, r#"{"a":1.5}"#, vec![]),
        (r#"{"a":1e2}"#, r#"{"a":100.0}"#, vec![]),
        (r#"{"a":1}"#, r#"{"a":1.0}"#, vec![("$.a", Kind::Type)]),
        (r#"{"a":1e999}"#, r#"{"a":2e999}"#, vec![("$.a", Kind::Value)]),
        (r#"{"a":1}"#, r#"{"a":"1"}"#, vec![("$.a", Kind::Type)]),
        (r#"{"a":null}"#, r#"{"a":false}"#, vec![("$.a", Kind::Type)]),
        (r#"{"a":true}"#, r#"{"a":false}"#, vec![("$.a", Kind::Value)]),
        (r#"{"a":null}"#, r#"{}"#, vec![("$.a", Kind::Missing)]),
        (r#"{}"#, r#"{"a":null}"#, vec![("$.a", Kind::Extra)]),
        (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, vec![("$", Kind::Order)]),
        (r#"{"a":1,"a":2}"#, r#"{"a":1}"#, vec![("$.a", Kind::Missing)]),
        (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, vec![("$.a", Kind::Value); 2]),
        (r#"[1,2]"#, r#"[1]"#, vec![("$[]", Kind::Missing)]),
        (r#"[1]"#, r#"[1,2]"#, vec![("$[]", Kind::Extra)]),
        (r#"[1,2]"#, r#"[2,1]"#, vec![("$[]", Kind::Value); 2]),
        (
            r#"{"a":{"b":[{"c":"x"}]}}"#,
            r#"{"a":{"b":[{"c":"y"}]}}"#,
            vec![("$.a.b[].c", Kind::Value)],
        ),
        (r#"{"a b":1}"#, r#"{"a b":2}"#, vec![("$.a?b", Kind::Value)]),
        (r#""\ud800""#, r#""\ud801""#, vec![("$", Kind::Value)]),
    ] {
        let expected: Vec<_> =
            expected.into_iter().map(|(path, kind)| (path.to_owned(), kind)).collect();
        assert_eq!(differences(original, candidate), expected, "{original} {candidate}");
    }
}

#[test]
fn what_is_nested_without_end_is_compared_as_one_value() {
    let nested = |leaf: &str| format!("{}{leaf}{}", "[".repeat(120), "]".repeat(120));
    let found = differences(&nested("1"), &nested("2"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].1, Kind::Value);
}

/// A document, of which any key may be there twice.
#[derive(Debug, Clone)]
enum Json {
    Leaf(Value),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn print(&self) -> String {
        match self {
            Self::Leaf(value) => value.to_string(),
            Self::Array(elements) => {
                format!("[{}]", elements.iter().map(Self::print).collect::<Vec<_>>().join(","))
            }
            Self::Object(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), value.print()));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Array(elements) => 1 + elements.iter().map(Self::count).sum::<usize>(),
            Self::Object(entries) => {
                1 + entries.iter().map(|(_, value)| value.count()).sum::<usize>()
            }
        }
    }

    /// The node of that number, in the order of the text.
    fn node(&mut self, mut number: usize) -> &mut Self {
        if number == 0 {
            return self;
        }
        number -= 1;
        let children: Vec<&mut Self> = match self {
            Self::Leaf(_) => Vec::new(),
            Self::Array(elements) => elements.iter_mut().collect(),
            Self::Object(entries) => entries.iter_mut().map(|(_, value)| value).collect(),
        };
        for child in children {
            let count = child.count();
            if number < count {
                return child.node(number);
            }
            number -= count;
        }
        panic!("no such node")
    }

    /// Changes one node so that it is another. `how` chooses among what can be done to it.
    fn mutate(&mut self, how: usize) {
        let fresh = Self::Leaf("of the mutation".into());
        match self {
            Self::Leaf(value) => {
                *value = match value {
                    Value::Null => false.into(),
                    Value::Bool(is_true) => (!*is_true).into(),
                    Value::Number(number) if how.is_multiple_of(2) => number.to_string().into(),
                    Value::Number(number) => (number.as_i64().unwrap_or(7) ^ 1).into(),
                    Value::String(text) if how.is_multiple_of(2) => format!("{text}!").into(),
                    Value::String(_) | Value::Array(_) | Value::Object(_) => Value::Null,
                }
            }
            Self::Array(elements) => match how % 3 {
                0 => elements.push(fresh),
                1 if !elements.is_empty() => {
                    elements.remove(how % elements.len());
                }
                _ => elements.insert(0, fresh),
            },
            Self::Object(entries) => match how % 5 {
                0 => entries.push(("new".to_owned(), fresh)),
                1 if !entries.is_empty() => {
                    entries.remove(how % entries.len());
                }
                2 if !entries.is_empty() => {
                    let again = entries[how % entries.len()].clone();
                    entries.push(again);
                }
                3 if !entries.is_empty() => {
                    let place = how % entries.len();
                    entries[place].0.push('!');
                }
                4 if entries.len() > 1 && entries[0].0 != entries[1].0 => entries.swap(0, 1),
                _ => *self = fresh,
            },
        }
    }
}

fn document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_map(Json::Leaf).prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::Array),
            vec(("[a-e]{1,2}|\\PC{0,3}", inner), 0..6).prop_map(Json::Object),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_is_equal_to_itself(document in document()) {
        let text = document.print();
        prop_assert_eq!(differences(&text, &text), vec![]);
        // With white space everywhere.
        let value: Value = serde_json::from_str(&text).unwrap();
        let one = value.to_string();
        let two = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(differences(&one, &two), vec![]);
    }

    #[test]
    fn any_single_mutation_is_found(
        document in document(),
        node in any::<prop::sample::Index>(),
        how in any::<usize>(),
    ) {
        let mut mutated = document.clone();
        let node = node.index(document.count());
        mutated.node(node).mutate(how);
        let [one, two] = [&document, &mutated].map(Json::print);
        prop_assert_ne!(&one, &two);
        let found = differences(&one, &two);
        prop_assert!(!found.is_empty(), "{} {}", one, two);
        // Both ways.
        prop_assert!(!differences(&two, &one).is_empty(), "{} {}", two, one);
    }
}
