use std::collections::{BTreeMap, BTreeSet};

use netrox_described::{OPENAPI, compile};

use super::{
    super::{PREFIX, description, routes},
    *,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The routes of both generations that are described, without their last slash.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let paths = OPENAPI["paths"].as_object().expect("paths");
    let described = paths.iter().map(|(path, item)| {
        let methods = item.as_object().expect("methods").keys().filter(|key| *key != "parameters");
        let methods = methods.map(|method| method.to_uppercase());
        (path.trim_end_matches('/').to_owned(), methods.collect())
    });
    described.collect()
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let described = described();
    let routes: BTreeSet<_> = routes().iter().map(|(path, _)| format!("{PREFIX}{path}")).collect();
    let second = described.keys().filter(|path| path.starts_with(PREFIX)).cloned();
    assert_eq!(second.collect::<BTreeSet<_>>(), routes);
    let edge = StubEdge::start().await;
    for (path, methods) in described {
        let path = path
            .replace("{peer_id}", BOB)
            .replace("{uid}", BOB)
            .replace("{id}", "7")
            .replace("{client_ref}", REF);
        for path in [path.clone(), format!("{path}/")] {
            let answer = edge.request(Method::TRACE, &path, &[], "").await;
            assert_eq!(answer.status, 405, "{path}");
            let allowed = answer.headers["allow"].to_str().expect("ASCII").split(',');
            let allowed = allowed.filter(|method| *method != "HEAD").map(str::to_owned);
            assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}");
        }
    }
}

#[tokio::test]
async fn the_descriptions_are_for_everybody() {
    let edge = StubEdge::start().await;
    for (path, key, text) in [
        ("/v2/openapi.json", "openapi", description::OPENAPI),
        ("/v2/asyncapi.json/", "asyncapi", description::ASYNCAPI),
    ] {
        let answer = edge.get(path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, text));
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(json(text)[key].is_string());
    }
}

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn each_reference_leads_somewhere_and_each_schema_is_one() {
    for text in [description::OPENAPI, description::ASYNCAPI] {
        let document = json(text);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let path = reference.strip_prefix('#').expect("a part of the document");
            assert!(document.pointer(path).is_some(), "{reference}");
        }
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        schemas.values().for_each(|schema| drop(compile(&document, schema)));
    }
}

#[test]
fn what_frames_and_answers_share_is_described_alike() {
    let asyncapi = json(description::ASYNCAPI);
    let of_frames = asyncapi["components"]["schemas"].as_object().expect("schemas");
    let of_answers = &OPENAPI["components"]["schemas"];
    let shared: Vec<_> = of_frames.keys().filter(|name| of_answers.get(name).is_some()).collect();
    assert!(shared.len() > 10, "{shared:?}");
    for name in shared {
        assert_eq!(of_frames[name], of_answers[name], "{name}");
    }
}
