//! Whether a directory or bucket takes files and gives them back, for the operator. What is tried is removed again.

use std::{
    path::Path as FilePath,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use netrox_diagnosis::{Report, Subject};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Media, StoreError, s3};
use crate::config::S3Url;

/// One for all: what was not removed does not add up.
const NAME: &str = "netrox-chat-doctor";
const CONTENT: &[u8] = b"netrox-chat doctor";
const RANGE: std::ops::Range<u64> = 7..11;
/// Beyond a quarter of an hour signatures are refused; a bucket tells whole seconds.
const MOST_APART: Duration = Duration::from_secs(60);
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);
const PARTS_TIMEOUT: Duration = Duration::from_secs(5);
/// Another doctor may remove the object before this one has read it.
const MOST_TRIES: usize = 4;

/// A directory that is there.
pub(crate) async fn examine_directory(path: &FilePath, report: &mut Report) {
    let tried = async { Media::local(path)?.try_out().await };
    let name = path.display();
    match tried.await {
        Ok(()) => report.note(Subject::Media, format!("{name} takes files")),
        Err(error) => {
            let remedy = "look at the owner and the mode of the path that is named: the user of the core writes there";
            report.find(Subject::Media, format!("{name} takes no files: {error}"), remedy);
        }
    }
}

/// With `stop` it is given up, and what was written is removed all the same.
pub(crate) async fn examine_bucket(
    url: &S3Url,
    limit: Duration,
    stop: &CancellationToken,
    report: &mut Report,
) {
    let store = match stop.run_until_cancelled(s3::open_to_read(url)).await {
        Some(Ok(store)) => store,
        Some(Err(error)) => {
            return report.find(Subject::Media, format!("{url}: {error}"), of(&error));
        }
        None => return,
    };
    let path = Path::from(NAME);
    let began = Instant::now();
    let tried = timeout(limit, try_often_enough(&*store, &path));
    let tried = stop.run_until_cancelled(tried).await.unwrap_or_else(|| {
        Ok(Err(Refusal::new("answer", StoreError::new("it was not waited for"))))
    });
    let tried = tried.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        let error = StoreError::out_of_reach(format!("nothing for {seconds} s"));
        Err(Refusal::new("answer", error))
    });
    let took = began.elapsed();
    // Whatever became of it: it may be there although nobody said so.
    let removed = timeout(REMOVE_TIMEOUT, remove(&*store, &path)).await;
    let removed = removed.unwrap_or_else(|_| Err(StoreError::out_of_reach("no answer in time")));
    match (tried, removed) {
        (Err(Refusal { what, error, may_stay, .. }), removed) => {
            let stays = match removed {
                Err(error) if may_stay => {
                    format!("; {path} may stay, it was not removed: {}", words(&error))
                }
                Ok(()) | Err(_) => String::new(),
            };
            let cause = format!("{url} does not {what}: {}{stays}", words(&error));
            report.find(Subject::Media, cause, of(&error));
        }
        (Ok(_), Err(error)) => {
            let cause =
                format!("{url} does not remove what was written ({path} stays): {}", words(&error));
            let remedy =
                "allow DeleteObject to the credentials of the core, and remove that object";
            report.find(Subject::Media, cause, remedy);
        }
        (Ok(written), Ok(())) => {
            report.note(Subject::Media, format!("{url} takes, gives and removes in {took:.1?}"));
            look_at_clock(url, written, took, report);
            // Not given up with `stop`: what is begun has to be ended.
            let parts = timeout(PARTS_TIMEOUT, try_parts(&*store, &path)).await;
            let parts = parts.unwrap_or_else(|_| {
                let error = StoreError::out_of_reach("no answer in time");
                Err(Refusal::new("begin and give up an object in parts", error))
            });
            if let Err(Refusal { what, error, .. }) = parts {
                let cause = format!("{url} does not {what}: {}", words(&error));
                report.find(Subject::Media, cause, of(&error));
            }
        }
    }
}

/// What a bucket did not do.
struct Refusal {
    what: &'static str,
    error: StoreError,
    /// Whether an object may be there.
    may_stay: bool,
    /// Whether what was written is not there.
    is_gone: bool,
}

impl Refusal {
    fn new(what: &'static str, error: StoreError) -> Self {
        Self { what, error, may_stay: true, is_gone: false }
    }
}

fn refusal(what: &'static str) -> impl Fn(object_store::Error) -> Refusal {
    move |error| {
        let is_gone = matches!(error, object_store::Error::NotFound { .. });
        Refusal { is_gone, ..Refusal::new(what, error.into()) }
    }
}

/// The object is one for all who look.
async fn try_often_enough(store: &dyn ObjectStore, path: &Path) -> Result<SystemTime, Refusal> {
    let mut tries = 1;
    loop {
        match try_out(store, path).await {
            Err(refusal) if refusal.is_gone && tries < MOST_TRIES => tries += 1,
            tried => return tried,
        }
    }
}

/// Gives when the bucket says that the object was written.
async fn try_out(store: &dyn ObjectStore, path: &Path) -> Result<SystemTime, Refusal> {
    let put = store.put(path, PutPayload::from_static(CONTENT)).await;
    put.map_err(|error| {
        let Refusal { what, error, .. } = refusal("take an object (PutObject)")(error);
        // One that says no has taken nothing.
        Refusal { may_stay: error.is_out_of_reach(), ..Refusal::new(what, error) }
    })?;
    let whole = async { store.get(path).await?.bytes().await };
    let whole = whole.await.map_err(refusal("give an object (GetObject)"))?;
    let options = GetOptions { range: Some(GetRange::Bounded(RANGE)), ..GetOptions::default() };
    let what = "give a range of an object";
    let (part, meta) = async {
        let part = store.get_opts(path, options).await?;
        let meta = part.meta.clone();
        Ok::<_, object_store::Error>((part.bytes().await?, meta))
    }
    .await
    .map_err(refusal(what))?;
    let expected = CONTENT.get(RANGE.start as usize..RANGE.end as usize).unwrap_or_default();
    if whole != Bytes::from_static(CONTENT) || part != *expected {
        let error = StoreError::new("it has other bytes than were written");
        return Err(Refusal::new(what, error));
    }
    Ok(meta.last_modified.into())
}

/// As a large file is written. Nobody sees what is only begun.
async fn try_parts(store: &dyn ObjectStore, path: &Path) -> Result<(), Refusal> {
    let begun = store.put_multipart(path).await;
    let begun = begun.map_err(refusal("begin an object in parts (CreateMultipartUpload)"));
    let given_up = begun?.abort().await;
    given_up.map_err(refusal("give up an object in parts (AbortMultipartUpload)"))
}

async fn remove(store: &dyn ObjectStore, path: &Path) -> Result<(), StoreError> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[expect(clippy::disallowed_methods, reason = "it is the wall clocks that are compared")]
fn look_at_clock(url: &S3Url, written: SystemTime, took: Duration, report: &mut Report) {
    let now = SystemTime::now();
    let apart = now.duration_since(written).unwrap_or_else(|ahead| ahead.duration());
    if apart.saturating_sub(took) > MOST_APART {
        let cause = format!("the clock of this machine and that of {url} are {apart:.0?} apart");
        let remedy = "set this one by NTP (chrony or systemd-timesyncd): beyond 15 minutes a bucket refuses all";
        report.find(Subject::Clock, cause, remedy);
    } else {
        report.note(Subject::Clock, format!("within {MOST_APART:?} of {url}"));
    }
}

/// What reqwest says of an endpoint with `http://` says nothing of what to do.
fn words(error: &StoreError) -> String {
    match error.to_string() {
        text if text == s3::PLAINTEXT_REFUSED => {
            "an endpoint with http:// is not allowed".to_owned()
        }
        text => text,
    }
}

fn of(error: &StoreError) -> &'static str {
    let text = error.to_string();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["RequestTimeTooSkewed"]) {
        "set the clock of this machine by NTP (chrony or systemd-timesyncd)"
    } else if text == s3::PLAINTEXT_REFUSED {
        "set AWS_ALLOW_HTTP=true, or give an endpoint with https:// in AWS_ENDPOINT_URL"
    } else if says(&["NoSuchBucket"]) {
        "make the bucket, or mend its name in --media-url and AWS_REGION"
    } else if says(&["no credentials"]) {
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else the line names"
    } else if says(&["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"]) {
        "look at the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), which take GetObject, PutObject, \
         DeleteObject and AbortMultipartUpload on the bucket"
    } else if error.is_out_of_reach() {
        "look at AWS_ENDPOINT_URL, at the way there and at the provider's status"
    } else {
        "look at AWS_ENDPOINT_URL and AWS_REGION, and at what is between"
    }
}
