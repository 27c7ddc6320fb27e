//! TLS of the doors, of the way from an edge to its cores, and of that to a collector of traces, from their files.

use std::path::PathBuf;

use http::Uri;
use netrox_tls::{ClientFiles, ClientTls, Door, Pair, ServerFiles, ServerTls, TlsError, Watched};

use crate::{
    cli::{CoreTlsArgs, GrpcTlsArgs, HttpTlsArgs},
    secret::{self, Warnings},
    sources::{SettingError, Sources},
};

/// A flag and the file it names.
type Named<'a> = (&'static str, Option<&'a PathBuf>);

/// Reads the files of TLS, and knows which are to be watched.
pub(crate) struct TlsFiles<'a> {
    sources: &'a Sources,
    warnings: &'a mut Warnings,
    watched: Vec<Watched>,
}

impl<'a> TlsFiles<'a> {
    pub(crate) fn new(sources: &'a Sources, warnings: &'a mut Warnings) -> Self {
        Self { sources, warnings, watched: Vec::new() }
    }

    pub(crate) fn watched(self) -> Vec<Watched> {
        self.watched
    }

    pub(crate) fn http(&mut self, args: &HttpTlsArgs) -> Result<Option<ServerTls>, SettingError> {
        let certificate = ("http-tls-cert-file", args.http_tls_cert_file.as_ref());
        let key = ("http-tls-key-file", args.http_tls_key_file.as_ref());
        let Some(own) = self.pair(certificate, key)? else { return Ok(None) };
        let files = ServerFiles { own, client_authorities: None };
        self.door(Door::Http, files, &[key, certificate]).map(Some)
    }

    pub(crate) fn grpc(&mut self, args: &GrpcTlsArgs) -> Result<Option<ServerTls>, SettingError> {
        let certificate = ("grpc-tls-cert-file", args.grpc_tls_cert_file.as_ref());
        let key = ("grpc-tls-key-file", args.grpc_tls_key_file.as_ref());
        let clients = ("grpc-tls-client-ca-file", args.grpc_tls_client_ca_file.as_ref());
        let Some(own) = self.pair(certificate, key)? else {
            return match clients {
                (flag, Some(_)) => Err(self.sources.refuse(flag, "needs --grpc-tls-cert-file")),
                (_, None) => Ok(None),
            };
        };
        let files = ServerFiles { own, client_authorities: clients.1.cloned() };
        self.door(Door::Grpc, files, &[clients, key, certificate]).map(Some)
    }

    /// Of the way to these cores, if any of them is reached by it.
    pub(crate) fn of_cores(
        &mut self,
        args: &CoreTlsArgs,
        cores: &[Uri],
    ) -> Result<Option<ClientTls>, SettingError> {
        let authorities = ("core-ca-file", args.core_ca_file.as_ref());
        let certificate = ("core-client-cert-file", args.core_client_cert_file.as_ref());
        let key = ("core-client-key-file", args.core_client_key_file.as_ref());
        let own = self.pair(certificate, key)?;
        if !cores.iter().any(|core| core.scheme_str() == Some("https")) {
            let given = [authorities, certificate].into_iter().find(|(_, file)| file.is_some());
            return match given {
                Some((flag, _)) => {
                    Err(self.sources.refuse(flag, "takes effect with --core https://… alone"))
                }
                None => Ok(None),
            };
        }
        let files = ClientFiles { authorities: authorities.1.cloned(), own };
        let tls = ClientTls::open(files);
        let tls =
            tls.map_err(|error| self.refuse(&error, &[authorities, key, certificate], "core"))?;
        self.watched.push(tls.watched());
        self.warn(tls.warning());
        Ok(Some(tls))
    }

    /// Of the way to the collector of traces, if it is reached by it.
    pub(crate) fn of_collector(
        &mut self,
        authorities: Option<&PathBuf>,
        collector: &Uri,
    ) -> Result<Option<ClientTls>, SettingError> {
        let named = ("otlp-ca-file", authorities);
        if collector.scheme_str() != Some("https") {
            return match authorities {
                Some(_) => {
                    let reason = "takes effect with --otlp-endpoint https://… alone";
                    Err(self.sources.refuse("otlp-ca-file", reason))
                }
                None => Ok(None),
            };
        }
        let files = ClientFiles { authorities: authorities.cloned(), own: None };
        let tls = ClientTls::open_to("the way to the collector of traces", files);
        let tls = tls.map_err(|error| self.refuse(&error, &[named], "otlp-endpoint"))?;
        self.watched.push(tls.watched());
        Ok(Some(tls))
    }

    pub(crate) fn warnings(&mut self) -> &mut Warnings {
        self.warnings
    }

    fn door(
        &mut self,
        door: Door,
        files: ServerFiles,
        named: &[Named<'_>],
    ) -> Result<ServerTls, SettingError> {
        let of_door = named.last().map_or("", |(flag, _)| flag);
        let tls = ServerTls::open(door, files);
        let tls = tls.map_err(|error| self.refuse(&error, named, of_door))?;
        self.watched.push(tls.watched());
        self.warn(tls.warning());
        Ok(tls)
    }

    /// Both or neither.
    fn pair(
        &mut self,
        certificate: Named<'_>,
        key: Named<'_>,
    ) -> Result<Option<Pair>, SettingError> {
        let needs = |flag, other| Err(self.sources.refuse(flag, format!("needs --{other}")));
        match (certificate, key) {
            ((_, Some(certificate)), (_, Some(key))) => {
                secret::warn_if_readable(key, self.warnings);
                Ok(Some(Pair { certificate: certificate.clone(), key: key.clone() }))
            }
            ((_, None), (_, None)) => Ok(None),
            ((flag, Some(_)), (other, None)) | ((other, None), (flag, Some(_))) => {
                needs(flag, other)
            }
        }
    }

    fn warn(&mut self, warning: Option<String>) {
        if let Some(warning) = warning {
            self.warnings.add(warning);
        }
    }

    /// Blames the flag whose file it is.
    fn refuse(&self, error: &TlsError, named: &[Named<'_>], or_else: &str) -> SettingError {
        let blamed = named
            .iter()
            .find(|(_, file)| error.path().is_some() && file.map(PathBuf::as_path) == error.path());
        self.sources.refuse(blamed.map_or(or_else, |(flag, _)| flag), error)
    }
}
