//! The shell: where sockets meet protocol and files.
