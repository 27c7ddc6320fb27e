//! Compiles the protos without protoc, and writes the descriptor set for reflection and tests.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const PROTOS: [&str; 5] = ["attachment", "chat", "directory", "error", "message"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/netrox");
    let files = PROTOS.map(|name| format!("netrox/chat/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBufferCodec")
        .bytes(".netrox.chat.v1.UploadAttachmentRequest.chunk")
        .bytes(".netrox.chat.v1.DownloadAttachmentResponse.chunk")
        .compile_fds(descriptors)?;
    Ok(())
}
