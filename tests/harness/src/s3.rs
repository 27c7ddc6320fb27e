//! A server that speaks S3 and checks signatures, on loopback, with one bucket.

use std::{fs, net::SocketAddr, path::PathBuf};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use crate::{
    Builder, Role,
    settings::{own_address, variable_name},
};

pub const BUCKET: &str = "attachments-of-a-test";
pub const ACCESS_KEY_ID: &str = "an-access-key-id";
pub const SECRET_ACCESS_KEY: &str = "canary-a-secret-access-key";

/// A bucket in a directory of its own. Dropping it ends the server.
#[derive(Debug)]
pub struct S3Server {
    root: TempDir,
    address: SocketAddr,
    /// Of its own, so that it can be ended with its connections.
    runtime: Option<Runtime>,
    is_paused: watch::Sender<bool>,
}

impl S3Server {
    pub fn start() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let (is_paused, _) = watch::channel(false);
        let address = SocketAddr::from((own_address(), 0));
        let mut server = Self { root, address, runtime: None, is_paused };
        server.start_again();
        server
    }

    /// Listens where it did before, with what it has stored.
    pub fn start_again(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        self.address = listener.local_addr().expect("an address");
        let files = FileSystem::new(self.root.path()).expect("a store");
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        service.set_access(OneBucket);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
        runtime.spawn(serve(listener, service.build(), self.is_paused.subscribe()));
        self.runtime = Some(runtime);
    }

    /// Ends it with its connections.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Lets requests wait until it is told otherwise.
    pub fn pause(&self, is_paused: bool) {
        self.is_paused.send_replace(is_paused);
    }

    /// The variables by which a process reaches it.
    pub fn variables(&self) -> [(&'static str, String); 6] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
            ("NO_PROXY", "*".to_owned()),
        ]
    }

    /// Lets a deployment keep its files below `prefix` of the bucket.
    pub fn serves(&self, builder: Builder, roles: &[Role], prefix: &str) -> Builder {
        let mut builder = builder;
        for role in roles {
            let url = (variable_name("media-url"), format!("s3://{BUCKET}/{prefix}"));
            builder = builder.variable(*role, url.0, url.1);
            for (name, value) in self.variables() {
                builder = builder.variable(*role, name, value);
            }
        }
        builder
    }

    /// The keys in the bucket.
    pub fn keys(&self) -> Vec<String> {
        let bucket = self.root.path().join(BUCKET);
        let mut keys = Vec::new();
        let mut directories = vec![bucket.clone()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let key = path.strip_prefix(&bucket).expect("below the bucket");
                    keys.push(key.to_str().expect("a text key").to_owned());
                }
            }
        }
        keys
    }

    /// The file behind a key.
    pub fn object(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// The parts of multipart uploads that are neither completed nor aborted.
    pub fn unfinished_parts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.path()).expect("the store").flatten();
        let paths = entries.map(|entry| entry.path());
        let is_part = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(".upload")
        };
        paths.filter(is_part).collect()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The store takes any name for a bucket.
struct OneBucket;

#[tonic::async_trait]
impl S3Access for OneBucket {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied));
        }
        match context.s3_path().get_bucket_name() {
            Some(BUCKET) => Ok(()),
            _ => Err(s3_error!(NoSuchBucket)),
        }
    }
}

async fn serve(listener: std::net::TcpListener, service: S3Service, paused: watch::Receiver<bool>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let (service, paused) = (service.clone(), paused.clone());
        let service = service_fn(move |request| {
            let (service, mut paused) = (service.clone(), paused.clone());
            async move {
                let _ = paused.wait_for(|is_paused| !is_paused).await;
                hyper::service::Service::call(&service, request).await
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
