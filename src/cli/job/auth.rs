//! What proves that we may play.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    cli::{
        args::{Args, values::given},
        rtmpdump::conn::Values,
    },
    core::{
        amf::Value,
        rtmp::{client::config::Login, target::Target},
    },
};

/// What is sent behind connect's object: the text of `--auth` first, then the items of `--conn`.
pub(super) fn arguments(args: &Args) -> Result<Vec<Value>> {
    let mut values = Values::default();
    for item in &args.conn {
        values
            .push(item)
            .with_context(|| format!("invalid AMF parameter {item:?}"))?;
    }
    let auth = given(args.auth.as_ref());
    let auth = auth.map(|auth| [true.into(), auth.as_str().into()]);
    Ok(auth.into_iter().flatten().chain(values.finish()).collect())
}

/// User and password: the options', else the URL's.
pub(super) fn login(args: &Args, target: &Target) -> Result<Option<Login>> {
    let user_info = target.user_info.as_ref();
    let password = match (&args.password, &args.password_file) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(first_line(file)?),
        (None, None) => None,
    };
    let user = given(args.user.as_ref()).or_else(|| user_info.map(|info| info.user.clone()));
    let Some(user) = user else {
        ensure!(
            password.is_none(),
            "a password needs a user: --user names it"
        );
        return Ok(None);
    };
    let of_url = || user_info.and_then(|info| info.password.clone());
    let password = password.or_else(of_url).unwrap_or_default();
    Ok(Some(Login { user, password }))
}

fn first_line(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read --password-file {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
