//! Compiles the protos without protoc, writes the descriptor sets for reflection and tests, tells the codec
//! requests and responses apart, and lists the methods that take one request, and those that stream answers.

use std::{collections::BTreeSet, env, error::Error, fs, path::PathBuf};

use prost::Message;
use protox::prost_reflect::prost_types::{FileDescriptorSet, MethodDescriptorProto};

const PROTOS: [&str; 7] =
    ["admin", "attachment", "chat", "directory", "error", "message", "session"];
const HEALTH: &str = "grpc/health/v1/health.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/grpc");
    println!("cargo::rerun-if-changed=proto/netrox");
    let files = PROTOS.map(|name| format!("netrox/chat/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let health = protox::compile([HEALTH], ["proto"])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    fs::write(out_dir.join("health.bin"), health.encode_to_vec())?;
    let directions = directions("v1", &descriptors) + &directions("health", &health);
    fs::write(out_dir.join("directions.rs"), directions)?;
    let all = [&descriptors, &health];
    fs::write(out_dir.join("one_request.rs"), paths(&all, |it| !it.client_streaming()))?;
    fs::write(out_dir.join("many_answers.rs"), paths(&all, |it| it.server_streaming()))?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBufferCodec")
        .bytes(".netrox.chat.v1.UploadAttachmentRequest.chunk")
        .bytes(".netrox.chat.v1.DownloadAttachmentResponse.chunk")
        .bytes(".netrox.chat.v1.ExportUserResponse.chunk")
        // Few messages have one, and all are moved.
        .boxed(".netrox.chat.v1.Message.attachment")
        .compile_fds(descriptors)?;
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBufferCodec")
        .compile_fds(health)?;
    Ok(())
}

/// The paths of some of the methods, as an array.
fn paths(sets: &[&FileDescriptorSet], is_one: fn(&MethodDescriptorProto) -> bool) -> String {
    let mut paths = Vec::new();
    for file in sets.iter().flat_map(|set| &set.file) {
        for service in &file.service {
            let methods = service.method.iter().filter(|method| is_one(method));
            paths.extend(
                methods.map(|it| format!("/{}.{}/{}", file.package(), service.name(), it.name())),
            );
        }
    }
    format!("{paths:?}")
}

/// An implementation of the codec's `OnWire` for what each method takes and gives.
fn directions(module: &str, descriptors: &FileDescriptorSet) -> String {
    let methods = descriptors.file.iter().flat_map(|file| &file.service).flat_map(|it| &it.method);
    let sent =
        methods.flat_map(|method| [(method.input_type(), true), (method.output_type(), false)]);
    let direction = |(name, is_request): (&str, bool)| {
        let name = name.rsplit('.').next().unwrap_or_default();
        format!("impl OnWire for {module}::{name} {{ const IS_REQUEST: bool = {is_request}; }}\n")
    };
    // Methods may share what they take.
    sent.map(direction).collect::<BTreeSet<_>>().into_iter().collect()
}
