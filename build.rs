//! Compiles the protos without protoc, writes the descriptor set for reflection and tests, and tells the codec
//! requests and responses apart.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use protox::prost_reflect::prost_types::FileDescriptorSet;

const PROTOS: [&str; 5] = ["attachment", "chat", "directory", "error", "message"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/netrox");
    let files = PROTOS.map(|name| format!("netrox/chat/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    fs::write(out_dir.join("directions.rs"), directions(&descriptors))?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBufferCodec")
        .bytes(".netrox.chat.v1.UploadAttachmentRequest.chunk")
        .bytes(".netrox.chat.v1.DownloadAttachmentResponse.chunk")
        .compile_fds(descriptors)?;
    Ok(())
}

/// An implementation of the codec's `OnWire` for what each method takes and gives.
fn directions(descriptors: &FileDescriptorSet) -> String {
    let methods = descriptors.file.iter().flat_map(|file| &file.service).flat_map(|it| &it.method);
    let sent =
        methods.flat_map(|method| [(method.input_type(), true), (method.output_type(), false)]);
    let direction = |(name, is_request): (&str, bool)| {
        let name = name.rsplit('.').next().unwrap_or_default();
        format!("impl OnWire for v1::{name} {{ const IS_REQUEST: bool = {is_request}; }}\n")
    };
    sent.map(direction).collect()
}
