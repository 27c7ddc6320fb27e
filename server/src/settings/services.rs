//! The file of services, as it is at the start.

use netrox_core::ServicesFile;

use crate::{
    cli::ServicesArgs,
    secret::Warnings,
    sources::{SettingError, Sources},
};

pub(super) fn read(
    args: &ServicesArgs,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<Option<ServicesFile>, SettingError> {
    let Some(path) = &args.service_tokens_file else { return Ok(None) };
    let file = ServicesFile::read(path);
    let file = file.map_err(|error| sources.refuse("service-tokens-file", error))?;
    if file.is_writable_by_others() {
        warnings.add(format!(
            "{} can be written by other users of this machine, who can let themselves in: chmod go-w",
            path.display()
        ));
    }
    Ok(Some(file))
}
