//! `AttachmentService`, the way out: `GetAttachment` and `DownloadAttachment`.

use netrox_proto::v1::{
    Attachment, DownloadAttachmentRequest, ErrorReason, GetAttachmentRequest, GetAttachmentResponse,
};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::{
    attachment::upload,
    refusal::{assert_alike, assert_invalid, assert_refused},
    running::{Core, collect},
    send::malformed_ids,
};

const MAX_CHUNK_BYTES: usize = 64 * 1024;

impl Core {
    async fn get_attachment(
        &self,
        path: &str,
        user_id: Option<&str>,
    ) -> Result<GetAttachmentResponse, Status> {
        let request = GetAttachmentRequest { path: path.into(), user_id: user_id.map(Into::into) };
        self.attachment().get_attachment(request).await.map(Response::into_inner)
    }

    async fn download(&self, request: DownloadAttachmentRequest) -> Result<Vec<u8>, Status> {
        let chunks = self.attachment().download_attachment(request).await?.into_inner();
        let mut content = Vec::new();
        for chunk in collect(chunks).await? {
            assert!(chunk.chunk.len() <= MAX_CHUNK_BYTES, "{}", chunk.chunk.len());
            content.extend_from_slice(&chunk.chunk);
        }
        Ok(content)
    }
}

fn whole(path: &str, user_id: Option<&str>) -> DownloadAttachmentRequest {
    DownloadAttachmentRequest {
        path: path.into(),
        user_id: user_id.map(Into::into),
        ..Default::default()
    }
}

/// No two ranges of it are alike.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(4)).flat_map(|word| (word as u32).to_be_bytes()).take(bytes).collect()
}

/// A file from one user to another; its users and itself.
async fn uploaded(core: &Core, content: &[u8]) -> ([String; 2], Attachment) {
    let [ada, bob] = core.users().await;
    let message = upload(core, &ada, &bob, "a.bin", content).await.expect("stored");
    ([ada, bob], *message.attachment.expect("a file"))
}

#[tokio::test]
async fn a_file_comes_back_as_it_went_in() {
    let core = Core::start().await;
    for bytes in [0, 1, MAX_CHUNK_BYTES - 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1, 1_000_003] {
        let content = content(bytes);
        let ([ada, bob], attachment) = uploaded(&core, &content).await;
        for user in [None, Some(ada.as_str()), Some(&bob), Some(&bob.to_uppercase())] {
            assert!(core.download(whole(&attachment.path, user)).await.expect("found") == content);
            let known = core.get_attachment(&attachment.path, user).await.expect("found");
            assert_eq!(known.attachment.as_ref(), Some(&attachment));
            let message = &core.history(&ada, &bob).await.expect("a history")[0];
            assert_eq!(known.created, message.created);
        }
    }
}

#[tokio::test]
async fn the_largest_file_comes_back_as_it_went_in() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let content = content(26_214_400);
    let message = upload(&core, &ada, &bob, "large.bin", &content).await.expect("stored");
    let attachment = message.attachment.expect("a file");
    assert_eq!(attachment.size, 26_214_400);
    assert!(core.download(whole(&attachment.path, None)).await.expect("found") == content);
    let one_more = [content.as_slice(), b"x"].concat();
    let refused = upload(&core, &ada, &bob, "too-large.bin", &one_more).await;
    assert_refused(refused, ErrorReason::AttachmentTooLarge);
    core.keeps_files(1).await;
}

#[tokio::test]
async fn a_range_is_cut_at_the_end_of_the_file() {
    const SIZE: i64 = 200_000;
    let core = Core::start().await;
    let content = content(SIZE as usize);
    let (_, attachment) = uploaded(&core, &content).await;
    let range = |offset, length| DownloadAttachmentRequest {
        offset,
        length,
        ..whole(&attachment.path, None)
    };
    for offset in [0_i64, 1, 65_535, 65_536, 65_537, 199_999] {
        for length in [None, Some(1), Some(65_536), Some(65_537), Some(SIZE), Some(i64::MAX)] {
            let end = length.map_or(SIZE, |length| offset.saturating_add(length).min(SIZE));
            let found = core.download(range(offset, length)).await.expect("found");
            assert!(found == content[offset as usize..end as usize], "{offset} {length:?}");
        }
    }
    for offset in [SIZE, SIZE + 1, i64::MAX] {
        for length in [None, Some(1), Some(i64::MAX)] {
            let refused = core.download(range(offset, length)).await;
            assert_refused(refused, ErrorReason::RangeNotSatisfiable);
        }
    }
    for offset in [-1, i64::MIN] {
        assert_invalid(core.download(range(offset, None)).await, "offset");
    }
    for length in [-1, i64::MIN] {
        assert_invalid(core.download(range(0, Some(length))).await, "length");
    }
}

#[tokio::test]
async fn a_participant_who_is_deleted_reads_no_file() {
    let core = Core::start().await;
    let ([ada, bob], attachment) = uploaded(&core, b"content").await;
    core.delete_user(&bob).await.expect("deleted");
    let deleted = ErrorReason::UserDeleted;
    assert_refused(core.get_attachment(&attachment.path, Some(&bob)).await, deleted);
    assert_refused(core.download(whole(&attachment.path, Some(&bob))).await, deleted);
    let content = core.download(whole(&attachment.path, Some(&ada))).await;
    assert_eq!(content.expect("found"), b"content");
}

#[tokio::test]
async fn a_file_is_found_by_its_participants_only() {
    let core = Core::start().await;
    let ([_, bob], attachment) = uploaded(&core, b"content").await;
    let [cyd, gone] = core.users().await;
    core.delete_user(&gone).await.expect("deleted");
    let nobody = Uuid::new_v4().to_string();
    let not_found = ErrorReason::AttachmentNotFound;
    let elsewhere = format!("attachments/2024/06/17/{}.bin", Uuid::new_v4());
    for user in [&cyd, &gone, &nobody] {
        let get = |path| core.get_attachment(path, Some(user));
        assert_refused(get(&attachment.path).await, not_found);
        assert_alike(get(&attachment.path).await, get(&elsewhere).await);
        let download = |path| core.download(whole(path, Some(user)));
        assert_refused(download(&attachment.path).await, not_found);
        assert_alike(download(&attachment.path).await, download(&elsewhere).await);
        // Nor does a range tell how long the file is.
        let beyond =
            DownloadAttachmentRequest { offset: 1_000, ..whole(&attachment.path, Some(user)) };
        assert_refused(core.download(beyond).await, not_found);
    }
    assert_refused(core.get_attachment(&elsewhere, None).await, not_found);
    assert_refused(core.download(whole(&elsewhere, None)).await, not_found);
    for malformed in malformed_ids(&bob) {
        let refused = core.get_attachment(&attachment.path, Some(&malformed)).await;
        assert_invalid(refused, "user_id");
        let refused = core.download(whole(&attachment.path, Some(&malformed))).await;
        assert_invalid(refused, "user_id");
    }
}

/// Whatever a path says, it leads to a stored attachment or nowhere.
#[tokio::test]
async fn no_path_leads_out_of_the_attachments() {
    let core = Core::start().await;
    let (_, attachment) = uploaded(&core, b"content").await;
    let path = &attachment.path;
    let (directory, name) = path.rsplit_once('/').expect("a directory");
    let long = format!("attachments/{}", "x".repeat(100_000));
    let paths = [
        "",
        "/",
        ".",
        "attachments",
        directory,
        name,
        &format!("/{path}"),
        &format!("{path}/"),
        &format!("{path}\0"),
        &format!("{path} "),
        &format!("./{path}"),
        &format!("media/{path}"),
        &format!("mediafiles/{path}"),
        &format!("{directory}//{name}"),
        &format!("{directory}/./{name}"),
        &format!("attachments/../{path}"),
        &format!("{directory}/../../../../../../chat.db"),
        "../chat.db",
        "../service-token",
        "/etc/passwd",
        "file:///etc/passwd",
        "attachments/%2e%2e/%2e%2e/chat.db",
        &path.replace('/', "\\"),
        &path.replace('/', "%2f"),
        &path.to_uppercase(),
        &long,
    ];
    for path in paths {
        for code in [
            core.get_attachment(path, None).await.expect_err("refused").code(),
            core.download(whole(path, None)).await.expect_err("refused").code(),
        ] {
            assert!(matches!(code, Code::NotFound | Code::InvalidArgument), "{code:?} {path:.100}");
        }
    }
    assert_eq!(core.download(whole(path, None)).await.expect("found"), b"content");
}

/// A reader that goes away, or reads slowly, is nobody else's matter.
#[tokio::test(flavor = "multi_thread")]
async fn downloads_may_be_left_and_left_waiting() {
    let core = Core::start().await;
    let content = content(5_000_000);
    let (_, attachment) = uploaded(&core, &content).await;
    let mut waiting = Vec::new();
    for number in 0..40 {
        // On connections of their own, whose windows they may fill.
        let connection = core.connect().await;
        let request = whole(&attachment.path, None);
        let chunks = connection.attachment().download_attachment(request).await.expect("found");
        let mut chunks = chunks.into_inner();
        let first = chunks.message().await.expect("a chunk").expect("a chunk");
        assert!(content.starts_with(&first.chunk));
        if number % 4 == 0 {
            waiting.push((first, chunks));
        }
    }
    assert!(core.download(whole(&attachment.path, None)).await.expect("found") == content);
    for (first, chunks) in waiting {
        let rest = collect(chunks).await.expect("the rest");
        let rest = rest.into_iter().flat_map(|chunk| chunk.chunk.to_vec());
        assert!(first.chunk.iter().copied().chain(rest).eq(content.iter().copied()));
    }
}
