//! Credentials: the arguments of `connect`, and the login.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    cli::{
        args::{Args, values::non_empty},
        rtmpdump::conn::{self, Values},
    },
    core::{
        amf::Value,
        rtmp::{client::config::Login, target::Target},
    },
};

/// Returns the arguments that follow the command object of `connect`: those of `--auth`, then those of
/// `--conn`.
pub(super) fn arguments(args: &Args) -> Result<Vec<Value>> {
    let mut values = Values::default();
    for item in &args.connect.conn {
        values
            .push(item)
            .with_context(|| format!("invalid value {:?} for --conn", conn::masked(item)))?;
    }
    let auth = non_empty(args.credentials.auth.as_ref());
    let auth = auth.map(|auth| [true.into(), auth.as_str().into()]);
    Ok(auth.into_iter().flatten().chain(values.finish()).collect())
}

/// Returns user and password from the options or else from the URL.
pub(super) fn login(args: &Args, target: &Target) -> Result<Option<Login>> {
    let user_info = target.user_info.as_ref();
    let password = match (&args.credentials.password, &args.credentials.password_file) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(first_line(file)?),
        (None, None) => None,
    };
    let user = non_empty(args.credentials.user.as_ref())
        .or_else(|| user_info.map(|info| info.user.clone()));
    let Some(user) = user else {
        ensure!(
            password.is_none(),
            "a password needs a user name: add --user"
        );
        return Ok(None);
    };
    let url_password = || user_info.and_then(|info| info.password.clone());
    let password = password.or_else(url_password).unwrap_or_default();
    Ok(Some(Login { user, password }))
}

fn first_line(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read --password-file {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
