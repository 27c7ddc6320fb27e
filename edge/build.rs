//! Makes JSON of the descriptions in `docs/`, which the program carries.

use std::{error::Error, fs, path::Path};

const DESCRIPTIONS: [&str; 2] = ["openapi", "asyncapi"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::var("OUT_DIR")?;
    for name in DESCRIPTIONS {
        let source = format!("../docs/{name}.yaml");
        println!("cargo::rerun-if-changed={source}");
        let yaml = fs::read_to_string(&source).map_err(|error| format!("{source}: {error}"))?;
        let json = to_json(&yaml).map_err(|error| format!("{source}: {error}"))?;
        fs::write(Path::new(&out).join(format!("{name}.json")), json)?;
    }
    Ok(())
}

/// With its keys in their order.
fn to_json(yaml: &str) -> Result<Vec<u8>, serde_saphyr::Error> {
    let mut json = Vec::new();
    serde_saphyr::with_deserializer_from_str(yaml, |deserializer| {
        let mut serializer = serde_json::Serializer::new(&mut json);
        let written = serde_transcode::transcode(deserializer, &mut serializer);
        written.map(drop).map_err(serde::de::Error::custom)
    })?;
    Ok(json)
}
