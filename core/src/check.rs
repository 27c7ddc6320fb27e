//! Whether a start would refuse a setting, as far as is known without an engine.

use crate::{
    config::{Config, MediaLocation},
    delivery::bus,
    lifecycle::{self, OpenError},
    media::s3,
};

/// Looks at the settings of a core, and at the files that they name. Makes nothing and asks nobody; what it refuses is what
/// [`Core::open`](crate::Core::open) would.
pub async fn check(config: &Config) -> Result<(), OpenError> {
    lifecycle::check_places(config)?;
    if let MediaLocation::S3(url) = &config.media {
        let checked = s3::check_url(url);
        checked.map_err(|error| OpenError::Media { media: config.media.clone(), error })?;
    }
    match &config.bus {
        Some(config) => Ok(bus::check(config).await?),
        None => Ok(()),
    }
}
