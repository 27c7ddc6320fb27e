//! A bucket of a server that speaks S3. Where it is and who may enter are the usual variables of AWS.

use std::{sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path,
    prefix::PrefixStore,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{StoreError, credentials::Source};
use crate::config::S3Url;

/// Of all parts but the last: the least that S3 takes.
pub(crate) const PART_BYTES: usize = 5 * 1024 * 1024;

const CONNECT_TIMEOUT: &str = "2 seconds";
/// For a part to be taken, and between two pieces of a body.
const SILENCE_TIMEOUT: &str = "20 seconds";
/// A download lasts as long as its reader takes; the silence is what ends it.
const WHOLE_TIMEOUT: &str = "1 hour";
/// No attempt is begun after it.
const RETRY_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_RETRIES: usize = 4;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const MAX_RETRY: Duration = Duration::from_millis(500);
/// What reqwest says of an endpoint with `http://` that was not allowed.
pub(super) const PLAINTEXT_REFUSED: &str = "URL scheme is not allowed";
/// Of the check at the start.
const CHECK_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether what is said of the bucket and its server can be understood. Nobody is asked.
pub(crate) fn check_url(url: &S3Url) -> Result<(), StoreError> {
    Ok(builder(url).build().map(drop)?)
}

/// The bucket, untried: it may be one that can only be read.
pub(crate) async fn open_to_read(url: &S3Url) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let builder = builder(url);
    let source = Source::of(&builder);
    let bucket = builder.build()?;
    source.try_out(bucket.credentials()).await?;
    Ok(Arc::new(PrefixStore::new(bucket, Path::from(url.prefix.as_str()))))
}

/// The bucket, where it can be written and read.
pub(crate) async fn open(url: &S3Url) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let store = open_to_read(url).await?;
    let checked = timeout(CHECK_TIMEOUT, check(&store)).await;
    let checked = checked
        .unwrap_or_else(|_| Err(StoreError::out_of_reach("the server did not answer in time")));
    match checked {
        Ok(()) => Ok(store),
        Err(error) if error.to_string() == PLAINTEXT_REFUSED => {
            Err(StoreError::new("an endpoint with http:// needs AWS_ALLOW_HTTP=true"))
        }
        Err(error) => Err(error),
    }
}

fn builder(url: &S3Url) -> AmazonS3Builder {
    let client = |key| AmazonS3ConfigKey::Client(key);
    let backoff = BackoffConfig { init_backoff: FIRST_RETRY, max_backoff: MAX_RETRY, base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT };
    AmazonS3Builder::from_env()
        .with_bucket_name(&url.bucket)
        .with_retry(retry)
        // Servers of other makers know the plain form best.
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
        .with_config(client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
        .with_config(client(ClientConfigKey::ReadTimeout), SILENCE_TIMEOUT)
        .with_config(client(ClientConfigKey::Timeout), WHOLE_TIMEOUT)
}

/// Writes, reads and removes an object of its own: that takes the permissions that files take.
async fn check(store: &impl ObjectStore) -> Result<(), StoreError> {
    let path = Path::from(format!("netrox-chat-check-{}", Uuid::new_v4()));
    store.put(&path, PutPayload::from_static(b"netrox-chat")).await?;
    let read = store.get(&path).await?.bytes().await;
    store.delete(&path).await?;
    read?;
    Ok(())
}
