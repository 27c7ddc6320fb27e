//! Who a bucket is entered as. Where nothing is given, the machine is asked, and its silence would read as that of the bucket.

use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use tokio::time::timeout;

use super::StoreError;

/// For whoever gives them to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Requests are not signed, or by keys that were given.
    AtHand,
    WebIdentity,
    Container,
    Instance,
    /// The same, although a container was named.
    InstanceForWantOfToken,
}

impl Source {
    /// As the builder chooses it.
    pub(super) fn of(builder: &AmazonS3Builder) -> Self {
        use AmazonS3ConfigKey as Key;
        let has = |key| builder.get_config_value(&key).is_some();
        let skips =
            builder.get_config_value(&Key::SkipSignature).is_some_and(|value| is_on(&value));
        if skips || has(Key::AccessKeyId) || has(Key::SecretAccessKey) {
            Self::AtHand
        } else if has(Key::WebIdentityTokenFile) && has(Key::RoleArn) {
            Self::WebIdentity
        } else if has(Key::ContainerCredentialsRelativeUri) {
            Self::Container
        } else if !has(Key::ContainerCredentialsFullUri) {
            Self::Instance
        } else if has(Key::ContainerAuthorizationTokenFile) {
            Self::Container
        } else {
            Self::InstanceForWantOfToken
        }
    }

    /// Fails where there are none.
    pub(super) async fn try_out(self, provider: &AwsCredentialProvider) -> Result<(), StoreError> {
        if self == Self::AtHand {
            return Ok(());
        }
        let cause = match timeout(TIMEOUT, provider.get_credential()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => StoreError::from(error).to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        Err(StoreError::new(match self {
            Self::AtHand => return Ok(()),
            Self::WebIdentity => format!("no credentials: the web identity gives none: {cause}"),
            Self::Container => format!("no credentials: the container gives none: {cause}"),
            Self::InstanceForWantOfToken => format!(
                "no credentials: AWS_CONTAINER_CREDENTIALS_FULL_URI needs \
                 AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE; the instance gives none: {cause}"
            ),
            Self::Instance => format!(
                "no credentials: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, nor a container \
                 (AWS_CONTAINER_CREDENTIALS_…), nor a web identity (AWS_WEB_IDENTITY_TOKEN_FILE and \
                 AWS_ROLE_ARN), nor the role of an instance ({cause}); profiles are not read"
            ),
        }))
    }
}

/// As the builder reads it.
fn is_on(value: &str) -> bool {
    ["1", "true", "on", "yes", "y"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_credentials_come_from_is_what_the_builder_chooses() {
        use AmazonS3ConfigKey as Key;
        let of = |settings: &[(Key, &str)]| {
            let builder = AmazonS3Builder::new();
            let with = |builder: AmazonS3Builder, (key, value): &(Key, &str)| {
                builder.with_config(*key, *value)
            };
            Source::of(&settings.iter().fold(builder, with))
        };
        let (full, token) =
            (Key::ContainerCredentialsFullUri, Key::ContainerAuthorizationTokenFile);
        assert_eq!(of(&[]), Source::Instance);
        assert_eq!(of(&[(Key::AccessKeyId, "a"), (full, "http://b")]), Source::AtHand);
        for on in ["1", "true", "TRUE", "on", "yes", "Y"] {
            assert_eq!(of(&[(Key::SkipSignature, on)]), Source::AtHand, "{on}");
        }
        for off in ["0", "false", "no"] {
            assert_eq!(of(&[(Key::SkipSignature, off)]), Source::Instance, "{off}");
        }
        let identity = [(Key::WebIdentityTokenFile, "/t"), (Key::RoleArn, "r")];
        assert_eq!(of(&identity), Source::WebIdentity);
        assert_eq!(of(&identity[..1]), Source::Instance);
        assert_eq!(of(&[(Key::ContainerCredentialsRelativeUri, "/a")]), Source::Container);
        assert_eq!(of(&[(full, "http://b")]), Source::InstanceForWantOfToken);
        assert_eq!(of(&[(full, "http://b"), (token, "/t")]), Source::Container);
    }
}
