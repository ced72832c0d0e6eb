//! nginx with its RTMP module.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::{find_program, restart_server, start_server};
use crate::process::Process;

/// Installed nginx.
#[derive(Clone, Copy)]
pub struct Nginx {
    program: &'static Path,
    module: &'static Path,
}

/// Running nginx. Application `vod` plays files, `live` relays with default directives, `record`
/// also records, `notify` uses `play_restart` and `publish_notify`. Each of `LIVE_DIRECTIVES` is an
/// application too.
pub struct Instance {
    process: Process,
    program: &'static Path,
    folder: TempDir,
    port: u16,
}

/// Names of applications with a directive that changes what players of live streams receive.
pub const LIVE_DIRECTIVES: &[(&str, &str)] = &[
    ("wait_key", "wait_key on"),
    ("wait_video", "wait_video on"),
    ("drop_idle_publisher", "drop_idle_publisher 3s"),
    ("idle_streams", "idle_streams off"),
    ("play_restart", "play_restart on"),
    ("publish_notify", "publish_notify on"),
    ("interleave", "interleave on"),
    ("sync", "sync 0"),
];

/// Running nginx that terminates TLS in front of a port.
pub struct TlsInstance {
    _process: Process,
    _folder: TempDir,
    pub port: u16,
}

impl Nginx {
    /// Finds nginx and its RTMP module.
    pub fn find() -> Option<Self> {
        static FOUND: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
        let (program, module) = FOUND
            .get_or_init(|| Some((find_program("nginx")?, find_module()?)))
            .as_ref()?;
        Some(Self { program, module })
    }

    /// Starts an instance that plays `files` under their own names.
    pub fn start(self, files: &[&Path]) -> Instance {
        self.start_with(files, "")
    }

    /// Starts an instance as `start` does, with RTMP server `directives`.
    pub fn start_with(self, files: &[&Path], directives: &str) -> Instance {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let media = folder.path().join("media");
        fs::create_dir(&media).expect("the folder can be created");
        for file in files {
            let name = file.file_name().expect("the clip has a file name");
            fs::hard_link(file, media.join(name))
                .or_else(|_| fs::copy(file, media.join(name)).map(drop))
                .expect("the clip can be linked or copied");
        }
        self.instance(folder, |folder, port| {
            self.config_text(folder, port, directives)
        })
    }

    /// Starts an instance of the stream module in front of `target_port`, with the certificate and
    /// key of `identity` and TLS `directives`. Returns `None` if the module is not installed.
    pub fn start_tls(
        self,
        target_port: u16,
        identity: &Path,
        directives: &str,
    ) -> Option<TlsInstance> {
        let module = self.module.with_file_name("ngx_stream_module.so");
        if !module.is_file() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (module, path) = (module.display(), folder.path().display());
        let identity = identity.display();
        let (process, port) = start_server(|port| {
            let config_text = format!(
                "load_module {module};
                 daemon off; master_process off;
                 pid {path}/nginx.pid;
                 error_log {path}/error.log info;
                 events {{ worker_connections 128; }}
                 stream {{
                     server {{
                         listen 127.0.0.1:{port} ssl;
                         ssl_certificate {identity}/certificate.pem;
                         ssl_certificate_key {identity}/key.pem;
                         {directives}
                         proxy_pass 127.0.0.1:{target_port};
                     }}
                 }}"
            );
            self.command(folder.path(), &config_text)
        });
        Some(TlsInstance {
            _process: process,
            _folder: folder,
            port,
        })
    }

    /// Starts a web proxy for the web server on `target_port` with additional `directives`.
    pub fn start_proxy(self, target_port: u16, directives: &str) -> Instance {
        let folder = tempfile::tempdir().expect("a temporary folder");
        self.instance(folder, |folder, port| {
            proxy_configuration(folder, port, target_port, directives)
        })
    }

    /// Starts an instance in `folder` with the configuration for its port.
    fn instance(self, folder: TempDir, config: impl Fn(&Path, u16) -> String) -> Instance {
        let (process, port) = start_server(|port| {
            let text = config(folder.path(), port);
            self.command(folder.path(), &text)
        });
        Instance {
            process,
            program: self.program,
            folder,
            port,
        }
    }

    fn command(self, folder: &Path, text: &str) -> Command {
        fs::write(folder.join("nginx.conf"), text).expect("the file can be written");
        let mut command = Command::new(self.program);
        arguments(&mut command, folder);
        command
    }

    fn config_text(self, folder: &Path, port: u16, directives: &str) -> String {
        let module = self.module.display();
        let folder = folder.display();
        let applications = LIVE_DIRECTIVES
            .iter()
            .map(|(name, directive)| format!("application {name} {{ live on; {directive}; }}\n"));
        let applications: String = applications.collect();
        format!(
            "load_module {module};
             daemon off; master_process off;
             pid {folder}/nginx.pid;
             error_log {folder}/error.log info;
             events {{ worker_connections 1024; }}
             rtmp {{
                 access_log off;
                 server {{
                     listen 127.0.0.1:{port};
                     {directives}
                     application vod {{ play {folder}/media; }}
                     application live {{ live on; }}
                     application record {{ live on; record all; record_path {folder}; }}
                     application notify {{ live on; play_restart on; publish_notify on; idle_streams off; }}
                     {applications}
                 }}
             }}"
        )
    }
}

// The default temporary paths are system folders that need root.
fn proxy_configuration(folder: &Path, port: u16, target_port: u16, directives: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off;
         pid {folder}/nginx.pid;
         error_log {folder}/error.log info;
         events {{ worker_connections 128; }}
         http {{
             access_log {folder}/access.log;
             client_body_temp_path {folder}/body;
             proxy_temp_path {folder}/proxy;
             fastcgi_temp_path {folder}/fastcgi;
             uwsgi_temp_path {folder}/uwsgi;
             scgi_temp_path {folder}/scgi;
             server {{
                 listen 127.0.0.1:{port};
                 {directives}
                 location / {{ proxy_pass http://127.0.0.1:{target_port}; }}
             }}
         }}"
    )
}

impl Instance {
    /// Returns the RTMP port, or the HTTP port of a web proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Kills nginx and restarts it on the same port with an empty log.
    pub fn kill_and_restart(&mut self) {
        self.process.kill_and_wait();
        fs::write(self.folder.path().join("error.log"), "").expect("the log can be cleared");
        let mut command = Command::new(self.program);
        arguments(&mut command, self.folder.path());
        self.process = restart_server(&mut command, self.port);
    }

    /// Returns the URL of stream or file `name` in `application`.
    pub fn url(&self, application: &str, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{application}/{name}", self.port)
    }

    /// Returns the recording of stream `name` in application `record`.
    #[cfg(unix)]
    pub fn recording(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("flv")
    }

    /// Waits until nginx has logged `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        let log = || fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
        for _ in 0..500 {
            if log().contains(text) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{text:?} is not in the log:\n{}", log());
    }
}

fn arguments(command: &mut Command, folder: &Path) {
    command.arg("-p").arg(folder);
    command.arg("-c").arg(folder.join("nginx.conf"));
    command.arg("-e").arg(folder.join("error.log"));
}

fn find_module() -> Option<PathBuf> {
    [
        "/usr/lib/nginx/modules",
        "/usr/lib64/nginx/modules",
        "/usr/libexec/nginx",
    ]
    .iter()
    .map(|folder| Path::new(folder).join("ngx_rtmp_module.so"))
    .find(|module| module.is_file())
}
