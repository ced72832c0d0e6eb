//! What is told while a download runs, and when it is over: to people and front ends, to scripts, and
//! to whoever watches over the process.

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
