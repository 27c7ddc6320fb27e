//! Where things are kept.

use std::{convert::Infallible, path::PathBuf};

use clap::Args;

use super::value::path_of_url;

pub(crate) const DEFAULT_DATA_DIR: &str = "./data";

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct DataDirArgs {
    /// Directory of the embedded database, the media and the generated secrets
    ///
    /// Created with mode 0700 where it is missing. Two processes never share one.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageArgs {
    /// Database: sqlite://PATH [default: sqlite://<data-dir>/chat.db]
    ///
    /// postgres:// is not supported yet.
    #[arg(long, value_name = "URL", value_parser = parse_database_url)]
    pub(crate) database_url: Option<PathBuf>,

    /// Bus between cores: nats:// is not supported yet [default: none, one core alone]
    #[arg(long, value_name = "URL", value_parser = parse_bus_url)]
    pub(crate) bus_url: Option<Infallible>,

    /// Directory of uploaded files: file://PATH [default: file://<data-dir>/media]
    ///
    /// s3:// is not supported yet.
    #[arg(long, value_name = "URL", value_parser = parse_media_url)]
    pub(crate) media_url: Option<PathBuf>,
}

fn parse_database_url(url: &str) -> Result<PathBuf, String> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Err("postgres:// is not supported yet: use sqlite://PATH".to_owned());
    }
    path_of_url(url, "sqlite")
}

fn parse_bus_url(url: &str) -> Result<Infallible, String> {
    if url.starts_with("nats://") || url.starts_with("tls://") {
        return Err("nats:// is not supported yet: run one core, without a bus".to_owned());
    }
    Err("must be nats://…, which is not supported yet: run one core, without a bus".to_owned())
}

fn parse_media_url(url: &str) -> Result<PathBuf, String> {
    if url.starts_with("s3://") {
        return Err("s3:// is not supported yet: use file://PATH".to_owned());
    }
    path_of_url(url, "file")
}
