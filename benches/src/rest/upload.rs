//! Large files, there and back.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Result, client::Http, ledger::Checked, load::closed::used, progress::note, server::Target,
};

const TIMES: u32 = 5;
const MIB: f64 = 1024.0 * 1024.0;

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Upload {
    pub(crate) file_bytes: usize,
    pub(crate) upload_mib_per_second: f64,
    pub(crate) download_mib_per_second: f64,
    pub(crate) upload_cpu_ms: Option<f64>,
    pub(crate) upload_growth_bytes: Option<u64>,
    pub(crate) download_growth_bytes: Option<u64>,
}

impl Checked for Upload {}

#[derive(Deserialize)]
struct Envelope {
    entity: Entity,
}

#[derive(Deserialize)]
struct Entity {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    attached_file: String,
}

/// Uploads a file a few times, downloads it as often, and compares.
pub(crate) async fn run(target: &Target, file_bytes: usize) -> Result<Upload> {
    note(format_args!("  {TIMES} files of {file_bytes} bytes, there and back"));
    let (sender, receiver) = (target.user()?, target.user()?);
    let mut http = Http::connect(target.door(0)).await?;
    http.get("/chat/get-user-threads/", &receiver, false).await?.expect(StatusCode::OK)?;
    let file: Vec<u8> = (0..file_bytes).map(|at| (at % 251) as u8).collect();
    let receiver_id = receiver.id.to_string();
    let forms: Vec<_> = (0..TIMES).map(|_| form(&receiver_id, &file)).collect();

    let before = start(target)?;
    let (mut took, mut path) = (Duration::ZERO, String::new());
    let cpu = target.cpu_seconds()?;
    for (boundary, form) in forms {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let call = http.post("/chat/chat-attachment/", &sender, &content_type, form);
        let answer = call.await?.expect(StatusCode::CREATED)?;
        took += answer.whole;
        path = serde_json::from_slice::<Envelope>(&answer.content)?.entity.message.attached_file;
    }
    let cpu = used(cpu, target.cpu_seconds()?);
    let (upload_growth_bytes, upload_took) = (growth(target, before)?, took);

    let before = start(target)?;
    took = Duration::ZERO;
    for time in 0..TIMES {
        let first = time == 0;
        let answer = http.get(&path, &receiver, first).await?.expect(StatusCode::OK)?;
        if answer.bytes != file_bytes as u64 || first && answer.content != file {
            return Err("a file came back changed".into());
        }
        took += answer.whole;
    }
    let rate = |took: Duration| f64::from(TIMES) * file_bytes as f64 / MIB / took.as_secs_f64();
    Ok(Upload {
        file_bytes,
        upload_mib_per_second: rate(upload_took),
        download_mib_per_second: rate(took),
        upload_cpu_ms: cpu.map(|cpu| cpu * 1e3 / f64::from(TIMES)),
        upload_growth_bytes,
        download_growth_bytes: growth(target, before)?,
    })
}

/// Begins to look for the peak; gives what is resident now.
fn start(target: &Target) -> Result<Option<u64>> {
    if let Some(processes) = &target.processes {
        processes.forget_peak()?;
    }
    target.resident_bytes()
}

fn growth(target: &Target, before: Option<u64>) -> Result<Option<u64>> {
    let peak = target.processes.as_ref().map(|processes| processes.peak_bytes()).transpose()?;
    Ok(peak.zip(before).map(|(peak, before)| peak.saturating_sub(before)))
}

/// With a boundary that is drawn at random, as libraries do.
fn form(receiver: &str, file: &[u8]) -> (String, Bytes) {
    let boundary = format!("----netrox-bench-{}", Uuid::new_v4());
    let mut form = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"receiver\"\r\n\r\n{receiver}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"attached_file\"; \
         filename=\"file.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(file);
    form.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (boundary, form.into())
}
