use std::io::BufReader;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::*;

const LIST: &[&str] = &["entity", "messages"];

fn taken_apart(text: &str, capacity: usize) -> Result<(Vec<String>, String), DocumentError> {
    let reader = BufReader::with_capacity(capacity, text.as_bytes());
    let mut document = Document::new(reader, LIST);
    let mut elements = Vec::new();
    while let Some(element) = document.next()? {
        elements.push(element);
    }
    Ok((elements, document.frame()?))
}

#[test]
fn a_list_is_found_by_its_keys_alone() {
    for (text, elements, frame) in [
        (r#"{"entity":{"messages":[]}}"#, vec![], r#"{"entity":{"messages":[]}}"#),
        (r#"{"entity":{"messages":[ ]}}"#, vec![], r#"{"entity":{"messages":[]}}"#),
        (
            r#"{"a":[1],"entity":{"x":[2],"messages":[{"a":[3]},4]},"b":[5]}"#,
            vec![r#"{"a":[3]}"#, "4"],
            r#"{"a":[1],"entity":{"x":[2],"messages":[]},"b":[5]}"#,
        ),
        // Neither a value, nor deeper, nor elsewhere.
        (r#"{"entity":"messages"}"#, vec![], r#"{"entity":"messages"}"#),
        (r#"{"entity":[1]}"#, vec![], r#"{"entity":[1]}"#),
        (r#"{"messages":[1]}"#, vec![], r#"{"messages":[1]}"#),
        (r#"[{"messages":[1]}]"#, vec![], r#"[{"messages":[1]}]"#),
        // What is wrong in it is for others to find.
        (r#"{"entity":{"messages":[1,]}}"#, vec!["1", ""], r#"{"entity":{"messages":[]}}"#),
        (r#"{"entity":{"messages":[,]}}"#, vec!["", ""], r#"{"entity":{"messages":[]}}"#),
        ("no JSON", vec![], "no JSON"),
        ("", vec![], ""),
    ] {
        for capacity in [1, 3, 4096] {
            let found = taken_apart(text, capacity).unwrap();
            let elements: Vec<_> = elements.iter().map(ToString::to_string).collect();
            assert_eq!(found, (elements, frame.to_owned()), "{text}");
        }
    }
}

#[test]
fn what_cannot_be_taken_apart_is_refused() {
    for (text, reason) in [
        (r#"{"entity":{"messages":[1"#.to_owned(), "ends within"),
        (r#"{"entity":{"messages":[1}"#.to_owned(), "brackets"),
        ("[".repeat(1000), "nested"),
        (" ".repeat(2 << 20), "longer"),
    ] {
        let error = taken_apart(&text, 4096).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let text = b"{\"entity\":{\"messages\":[\"\xff\"]}}";
    let mut document = Document::new(&text[..], LIST);
    assert!(document.next().is_err());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_list_comes_apart_as_it_was(
        elements in vec(value(), 0..8),
        before in value(),
        after in value(),
        capacity in 1_usize..64,
        is_pretty in any::<bool>(),
    ) {
        let whole = json!({
            "before": before,
            "entity": {"a": after, "messages": elements, "z": 1},
            "message": after,
        });
        let text = match is_pretty {
            true => serde_json::to_string_pretty(&whole).unwrap(),
            false => whole.to_string(),
        };
        let (found, frame) = taken_apart(&text, capacity).unwrap();
        let found: Vec<Value> =
            found.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        prop_assert_eq!(&found, &elements);
        let mut frame: Value = serde_json::from_str(&frame).unwrap();
        frame["entity"]["messages"] = elements.into();
        prop_assert_eq!(frame, whole);
    }
}
