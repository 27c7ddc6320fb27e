//! A PostgreSQL database for one run, and what its server costs.

use std::fs;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::process::CpuTimes;
use crate::Result;

/// A fresh database on the server that `url` names. [`Self::remove`] takes it away again.
#[derive(Debug)]
pub(crate) struct TemporaryDatabase {
    admin_url: String,
    name: String,
    pub(crate) url: String,
}

impl TemporaryDatabase {
    pub(crate) async fn create(admin_url: &str) -> Result<Self> {
        let name = format!("netrox_bench_{}", uuid::Uuid::new_v4().simple());
        let (server, query) = match admin_url.split_once('?') {
            Some((server, query)) => (server, format!("?{query}")),
            None => (admin_url, String::new()),
        };
        let (server, _) = server.rsplit_once('/').ok_or("the PostgreSQL URL names no database")?;
        let url = format!("{server}/{name}{query}");
        execute(admin_url, format!("create database {name}")).await?;
        Ok(Self { admin_url: admin_url.to_owned(), name, url })
    }

    pub(crate) async fn remove(self) -> Result<()> {
        execute(&self.admin_url, format!("drop database {} with (force)", self.name)).await
    }
}

async fn execute(url: &str, statement: String) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))).await?;
    connection.close().await?;
    Ok(())
}

/// The processes of a PostgreSQL server of this machine.
#[derive(Debug)]
pub(crate) struct PostgresProcesses {
    postmaster: u32,
}

impl PostgresProcesses {
    /// None where the server is on another machine.
    pub(crate) async fn find(url: &str) -> Result<Option<Self>> {
        let mut connection = PgConnection::connect(url).await?;
        let query = sqlx::query_scalar("select pg_backend_pid()");
        let backend: i32 = query.fetch_one(&mut connection).await?;
        let backend = backend.unsigned_abs();
        // The same number may be somebody else's here.
        let name = fs::read_to_string(format!("/proc/{backend}/comm")).unwrap_or_default();
        let found = name.starts_with("postgres").then(|| CpuTimes::of(backend));
        connection.close().await?;
        Ok(found.transpose()?.map(|backend| Self { postmaster: backend.parent }))
    }

    /// CPU time so far of all of them, those that have ended included.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let postmaster = CpuTimes::of(self.postmaster)?;
        let mut seconds = postmaster.own + postmaster.of_ended_children;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            // It may have ended meanwhile.
            if let Ok(times) = CpuTimes::of(process)
                && times.parent == self.postmaster
            {
                seconds += times.own;
            }
        }
        Ok(seconds)
    }
}
