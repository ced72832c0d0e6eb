#!/usr/bin/env bash
# Installs the programs that the tests use: servers, players, encoders and proxies, and the compilers and
# Wine for the programs of other systems.
#
# Fast if everything is installed, so it can run before every test run. Needs Debian or Ubuntu, and root
# or sudo for missing packages. npm and pip packages and the Wine prefix are installed into target/peers.
#
#   peers.sh        everything that `cargo test` uses
#   peers.sh long   xiu too, which only the long check uses, because it takes ten minutes to compile
set -euo pipefail
cd "$(dirname "$0")/.."
peers="${CARGO_TARGET_DIR:-target}/peers"
mkdir -p "$peers"
xiu=0.14.0

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Debian: nginx with RTMP and TLS, ffmpeg, players, a browser, rtmpdump, proxies, a terminal emulator, jq, network
# analyzers, copy programs for the benches, and programs that check or use the files for operators.
debian=(nginx libnginx-mod-rtmp libnginx-mod-stream ffmpeg mpv rtmpdump socat openssl strace)
debian+=(chromium gstreamer1.0-tools gstreamer1.0-plugins-{base,good,bad} gstreamer1.0-libav)
debian+=(microsocks dante-server tinyproxy tmux jq tshark tcpdump)
# Checks of metrics and units, and uploads of segments.
debian+=(prometheus rclone systemd)
# Static and Windows programs, and Wine to run the latter.
debian+=(musl-tools gcc-mingw-w64-x86-64-win32 wine wine64)
has_command() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }
# Libraries of xiu.
[ "${1:-}" != long ] || debian+=(cmake pkg-config libopus-dev)
has_command npm || debian+=(nodejs npm)
has_command python3 || debian+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || debian+=(python3-venv)
missing=()
for package in "${debian[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    as_root apt-get update -qq
    # The tests start their own instances, so installed services must not start.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        trap 'as_root rm -f "$policy"' EXIT
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# npm: Node-Media-Server, which numbers message streams and names codecs differently from nginx-rtmp.
# Version 2 reports the end of a publisher, version 4 does not.
from_npm() {
    if [ ! -f "$1/node_modules/node-media-server/package.json" ]; then
        npm install --silent --no-audit --no-fund --prefix "$1" "node-media-server@$2"
    fi
}
from_npm "$peers/npm" 4
from_npm "$peers/npm-2" 2

# PyPI: yt-dlp, a front end of rtmpdump, and an ffmpeg with Enhanced RTMP, which Debian's may lack.
from_pypi() {
    [ -x "$peers/venv/bin/pip" ] || python3 -m venv "$peers/venv"
    "$peers/venv/bin/pip" install --quiet --disable-pip-version-check "$1"
}
if ! "$peers/venv/bin/yt-dlp" --version >/dev/null 2>&1; then
    from_pypi yt-dlp
fi
if ! "$peers/ffmpeg" -version >/dev/null 2>&1; then
    from_pypi imageio-ffmpeg
    "$peers/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())' >"$peers/ffmpeg.path"
    ln -sf "$(cat "$peers/ffmpeg.path")" "$peers/ffmpeg"
fi

# PyPI: the schemas of Kubernetes.
if [ ! -x "$peers/venv/bin/kubernetes-validate" ]; then
    from_pypi kubernetes-validate
fi

# crates.io: librtmp2, which sends reconnect requests.
if [ ! -x "$peers/librtmp2/debug/librtmp2-server" ]; then
    cargo build --quiet --locked --manifest-path tests/librtmp2/Cargo.toml --target-dir "$peers/librtmp2"
fi

# crates.io: xiu, which reads nothing from a player and closes the connection when the publisher leaves.
if [ "${1:-}" = long ] && ! cargo install --list --root "$peers/xiu" | grep -q "^xiu v$xiu:"; then
    cargo install --quiet --locked xiu --version "$xiu" --root "$peers/xiu"
fi

# Wine: a prefix without a display, Mono and Gecko.
prepare_wine() {
    local builtin file
    builtin="$(echo /usr/lib/*/wine/x86_64-windows)"
    rm -rf "$peers/wine"
    WINEPREFIX="$(realpath "$peers")/wine"
    export WINEPREFIX WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml,winemenubuilder.exe=
    wineboot --init >/dev/null 2>&1
    wineserver -w
    cd "$WINEPREFIX/drive_c/windows/system32"
    # Links instead of copies save 600 MB.
    for file in *; do
        if cmp --silent "$file" "$builtin/$file"; then ln -sf "$builtin/$file" "$file"; fi
    done
    # Rust programs import this library, which Wine 8 lacks.
    if [ ! -e bcryptprimitives.dll ]; then
        x86_64-w64-mingw32-gcc -shared -s -x c - -o bcryptprimitives.dll -ladvapi32 <<'END'
#include <windows.h>
BOOLEAN WINAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) { return SystemFunction036(bytes, length); }
END
    fi
    touch "$WINEPREFIX/ready"
}
[ -e "$peers/wine/ready" ] || (prepare_wine)

echo "peers: $(nginx -v 2>&1 | sed 's/.*: //'), $(ffmpeg -version | awk 'NR == 1 { print $1, $3 }')," \
    "$("$peers/ffmpeg" -version | awk 'NR == 1 { print $1, $3 }')," \
    "node-media-server $(sed -n 's/^ *"version": "\(.*\)",*$/\1/p' "$peers"/npm*/node_modules/node-media-server/package.json | xargs)," \
    "$(rtmpdump --help 2>&1 | sed -n 's/^RTMPDump \(v[^ ]*\).*/rtmpdump \1/p')," \
    "$(mpv --version | awk 'NR == 1 { print $1, $2 }'), $(gst-launch-1.0 --version | awk 'NR == 2')," \
    "$(chromium --version 2>/dev/null | awk '{ print $1, $2 }'), yt-dlp $("$peers/venv/bin/yt-dlp" --version), $(tmux -V), socat," \
    "$(wine --version 2>/dev/null)"
