//! Reports of a download: text for people and front ends, JSON for scripts, a heartbeat file and systemd
//! notifications for supervisors.

mod display_options;
pub mod heartbeat;
pub mod json;
mod listeners;
#[cfg(unix)]
pub mod systemd;
pub mod text;
mod worker;

pub use self::{
    display_options::DisplayOptions,
    listeners::{Listener, Listeners},
};
