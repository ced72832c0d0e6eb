#!/usr/bin/env bash
# Builds the files of a release into target/dist. The release workflow and the full check run it.
#
#   package.sh tools             install cargo-deb and cargo-generate-rpm (versions below) if they are missing
#   package.sh tag TAG           fail unless TAG releases the version of Cargo.toml
#   package.sh archive TARGET    program, man page, completions, licence and README for one target
#   package.sh linux TARGET      the archive, a .deb and an .rpm
#   package.sh image TARGET...   an OCI image of the static programs of these targets
#   package.sh checksums         SHA256SUMS of all files
#   package.sh check             build everything for this Linux machine, then install, run and remove it
#
# The man page and the completions come from the program, so TARGET must run on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo_deb=3.8.0
cargo_generate_rpm=0.21.1

target_dir="${CARGO_TARGET_DIR:-target}"
dist="$target_dir/dist"
version="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"

fail() {
    printf 'package.sh: %s\n' "$1" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_tools() {
    local tool wanted
    # They run once, so a short build is worth more than a fast program.
    local -x CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    for tool in "cargo-deb $cargo_deb" "cargo-generate-rpm $cargo_generate_rpm"; do
        read -r tool wanted <<<"$tool"
        cargo install --list | grep -q "^$tool v$wanted:" || cargo install --quiet --locked "$tool" --version "$wanted"
    done
}

# A release that cargo-binstall cannot find, or whose version contradicts the program, must not start.
check_tag() {
    [ "$1" = "v$version" ] || fail "tag $1 does not match version $version of Cargo.toml: expected v$version"
    if [ -n "${GITHUB_REPOSITORY:-}" ]; then
        local repository="https://github.com/$GITHUB_REPOSITORY"
        grep -qxF "repository = \"$repository\"" Cargo.toml ||
            fail "Cargo.toml must contain repository = \"$repository\", where cargo-binstall looks for releases"
    fi
}

built() { printf '%s/%s/release' "$target_dir" "$1"; }
program() {
    case "$1" in
        *windows*) printf '%s/rtmpull.exe' "$(built "$1")" ;;
        *) printf '%s/rtmpull' "$(built "$1")" ;;
    esac
}

# Builds the program and generates its documents into the folder `package` next to it, where the assets
# of Cargo.toml expect them.
build() {
    local target="$1" flags="${RUSTFLAGS:-}"
    # Without this flag, the program needs the redistributable C runtime.
    case "$target" in *windows-msvc) flags+=' -C target-feature=+crt-static' ;; esac
    RUSTFLAGS="$flags" cargo build --locked --release --target "$target"

    local documents rtmpull
    documents="$(built "$target")/package"
    rtmpull="$(program "$target")"
    rm -rf "$documents"
    mkdir -p "$documents/completions"
    "$rtmpull" --generate man >"$documents/rtmpull.1"
    "$rtmpull" --generate complete-bash >"$documents/completions/rtmpull.bash"
    "$rtmpull" --generate complete-zsh >"$documents/completions/_rtmpull"
    "$rtmpull" --generate complete-fish >"$documents/completions/rtmpull.fish"
    "$rtmpull" --generate complete-powershell >"$documents/completions/_rtmpull.ps1"
    [ "$("$rtmpull" --version | head -n 1)" = "rtmpull $version" ] || fail "$rtmpull does not print version $version"
}

# Packs one folder. Names, owners and times do not depend on the machine, so equal programs give equal archives.
archive() {
    local target="$1" name="rtmpull-$version-$1" documents tar
    build "$target"
    documents="$(built "$target")/package"
    rm -rf "${dist:?}/$name"
    mkdir -p "$dist/$name"
    cp "$(program "$target")" "$documents/rtmpull.1" LICENSE README.md "$dist/$name"
    cp -R "$documents/completions" "$dist/$name"
    case "$target" in *linux*) cp .github/rtmpull{,-streams}@.service "$dist/$name" ;; esac
    case "$target" in
        *windows*) (cd "$dist" && rm -f "$name.zip" && 7z a -bso0 -tzip "$name.zip" "$name") ;;
        *)
            tar="$(command -v gtar || command -v tar)"
            "$tar" --create --directory "$dist" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
                --mtime="@$(git log -1 --format=%ct)" "$name" | gzip -9n >"$dist/$name.tar.gz"
            ;;
    esac
    rm -rf "${dist:?}/$name"
}

linux() {
    local target="$1" documents
    archive "$target"
    documents="$(built "$target")/package"
    gzip -9nk "$documents/rtmpull.1"
    # Debian requires a change log. Its only entry points to the releases.
    {
        printf 'rtmpull (%s-1) unstable; urgency=medium\n\n  * Release %s.\n\n' "$version" "$version"
        printf ' -- The rtmpull developers <%s>  %s\n' "$(maintainer_address)" "$(git log -1 --format=%cD)"
    } | gzip -9n >"$documents/changelog.Debian.gz"
    cargo deb --quiet --no-build --no-strip --target "$target" --output "$dist/"
    cargo generate-rpm --target "$target" --target-dir "$target_dir" --output "$dist/"
}

maintainer_address() { sed -n 's/^maintainer = ".*<\(.*\)>"$/\1/p' Cargo.toml; }

# The builder copies files only, so it builds for every architecture and needs no root and no container runtime.
image() {
    local context="$dist/image" target architecture
    rm -rf "$context"
    mkdir -p "$context/recordings"
    cp /etc/ssl/certs/ca-certificates.crt "$context"
    buildah manifest rm rtmpull >/dev/null 2>&1 || true
    buildah manifest create rtmpull >/dev/null
    for target in "$@"; do
        case "$target" in
            x86_64-*) architecture=amd64 ;;
            aarch64-*) architecture=arm64 ;;
            *) fail "$target has no image" ;;
        esac
        mkdir "$context/$architecture"
        tar -xzf "$dist/rtmpull-$version-$target.tar.gz" -C "$context/$architecture" --strip-components=1
        buildah build --quiet --isolation chroot --platform "linux/$architecture" --manifest rtmpull \
            --build-arg "ARCHITECTURE=$architecture" --build-arg "VERSION=$version" \
            --timestamp "$(git log -1 --format=%ct)" --file .github/Containerfile "$context" >/dev/null
    done
    buildah manifest push --quiet --all rtmpull "oci-archive:$dist/rtmpull-$version-image.tar" >/dev/null
    rm -rf "$context"
}

checksums() { (cd "$dist" && rm -f SHA256SUMS && sha256sum -- * >SHA256SUMS); }

# cargo-binstall must find the archive of each target under the name that the metadata gives.
check_binstall() {
    local url
    url="$(sed -n 's/^pkg-url = "\(.*\)"$/\1/p' Cargo.toml)"
    url="${url//'{ name }'/rtmpull}"
    url="${url//'{ version }'/$version}"
    url="${url//'{ target }'/$1}"
    url="${url//'{ archive-suffix }'/.tar.gz}"
    [ -f "$dist/${url##*/}" ] || fail "cargo-binstall expects ${url##*/}"
}

# Removes the files of the check, also after a failure.
clean_up() {
    rm -rf "$1"
    if [ -n "$is_installed" ]; then as_root dpkg --purge rtmpull >/dev/null; fi
    # shellcheck disable=SC2046 # One argument per process.
    if [ -n "$(jobs -pr)" ]; then kill $(jobs -pr); fi
}
is_installed=

check() {
    local target deb rpm name
    target="$(uname -m)-unknown-linux-musl"
    name="rtmpull-$version-$target"
    install_check_tools
    install_tools
    rustup target add "$target" >/dev/null 2>&1 || true
    rm -rf "$dist"
    linux "$target"
    deb="$(echo "$dist"/*.deb)"
    rpm="$(echo "$dist"/*.rpm)"
    work="$(mktemp -d)"
    trap 'clean_up "$work"' EXIT

    echo 'archive: content, program without libraries'
    tar -xzf "$dist/$name.tar.gz" -C "$work"
    diff - <(cd "$work/$name" && find . -type f | LC_ALL=C sort) <<END
./LICENSE
./README.md
./completions/_rtmpull
./completions/_rtmpull.ps1
./completions/rtmpull.bash
./completions/rtmpull.fish
./rtmpull
./rtmpull-streams@.service
./rtmpull.1
./rtmpull@.service
END
    check_binstall "$target"
    # An empty root: the program must not need a library or a file of the system.
    mkdir "$work/root"
    cp "$work/$name/rtmpull" "$work/root"
    [ "$(as_root chroot "$work/root" /rtmpull --version | head -n 1)" = "rtmpull $version" ]

    echo '.deb: lintian, install, run, unit, remove'
    TMPDIR="$work" lintian --fail-on error --tag-display-limit 0 "$deb"
    if dpkg-query -W rtmpull >/dev/null 2>&1; then
        fail 'the package rtmpull is installed on this machine: remove it first'
    fi
    is_installed=1
    as_root dpkg --install "$deb" >/dev/null
    dpkg-query -L rtmpull | while read -r file; do [ -f "$file" ] && echo "$file"; done >"$work/files" || true
    [ "$(/usr/bin/rtmpull --version | head -n 1)" = "rtmpull $version" ]
    gzip -dc /usr/share/man/man1/rtmpull.1.gz | cmp - "$work/$name/rtmpull.1"
    bash -c 'source /usr/share/bash-completion/completions/rtmpull && complete -p rtmpull' >/dev/null
    check_download /usr/bin/rtmpull "$work"
    systemd-analyze verify rtmpull@camera.service rtmpull-streams@cameras.service
    as_root dpkg --purge rtmpull >/dev/null
    is_installed=
    while read -r file; do [ ! -e "$file" ] || fail "$file is left after the removal"; done <"$work/files"

    echo '.rpm: install, run, verify, remove'
    mkdir "$work/rpm"
    local rpm_root=(as_root rpm --root "$work/rpm" --dbpath /var/lib/rpm)
    # Debian's rpm recommends alien on standard error.
    "${rpm_root[@]}" --install --nodeps --nosignature "$rpm" 2>"$work/errors" || fail "$(cat "$work/errors")"
    [ "$("$work/rpm/usr/bin/rtmpull" --version | head -n 1)" = "rtmpull $version" ]
    "${rpm_root[@]}" --verify --nodeps rtmpull
    # Apart from documents, the files are those of the .deb.
    diff <(grep -v '/doc/\|lintian' "$work/files" | sed 's/zsh\/vendor-completions/zsh\/site-functions/' | LC_ALL=C sort) \
        <("${rpm_root[@]}" --query --list rtmpull | grep -v '/doc/\|/licenses/' | LC_ALL=C sort)
    "${rpm_root[@]}" --erase --nodeps rtmpull 2>"$work/errors" || fail "$(cat "$work/errors")"

    echo 'image: content, user, run'
    image "$target"
    check_image "$work"
    checksums
    cat "$dist/SHA256SUMS"
}

install_check_tools() {
    local package missing=()
    for package in musl-tools lintian rpm buildah systemd; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    fi
}

# Prints a port on which nothing listens. ffmpeg cannot let the system choose one. The system gives no connection a
# port of this range, so only another server could take the port before ffmpeg listens.
free_port() {
    local port
    while
        port="$((20000 + RANDOM % 10000))"
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null
    do :; done
    echo "$port"
}

# Downloads one second of video from ffmpeg as server, as soon as it listens.
check_download() {
    local rtmpull="$1" file="$2/clip.flv" port server
    command -v ffmpeg >/dev/null || fail 'ffmpeg is missing: run tests/peers.sh first'
    port="$(free_port)"
    ffmpeg -v error -re -f lavfi -i testsrc=duration=1 -f flv -listen 1 "rtmp://127.0.0.1:$port/live/clip" &
    server=$!
    # ffmpeg closes the connection without reading, which can reset it and lose the last frames. The exit
    # code and the last frames therefore prove nothing here.
    until "$rtmpull" -q "rtmp://127.0.0.1:$port/live/clip" -v -o "$file" 2>"$2/errors" || [ -s "$file" ]; do
        kill -0 "$server" 2>/dev/null || fail "$(cat "$2/errors")"
        sleep 0.1
    done
    wait "$server" || true
    [ "$(ffprobe -v error -count_packets -show_entries stream=nb_read_packets -of csv=p=0 "$file")" -ge 20 ] ||
        fail "the downloaded $file is not complete"
}

# Runs the program in the image as the user of the image, without network or capabilities.
check_image() {
    local container
    container="$(buildah from --quiet --isolation chroot "oci-archive:$dist/rtmpull-$version-image.tar")"
    [ "$(buildah run "$container" -- /usr/bin/rtmpull --version | head -n 1)" = "rtmpull $version" ]
    [ "$(buildah inspect --format '{{.OCIv1.Config.User}}' "$container")" = 65532:65532 ]
    buildah rm "$container" >/dev/null
}

case "${1:-}" in
    tools) install_tools ;;
    tag) check_tag "$2" ;;
    archive | linux) "$1" "$2" ;;
    image) image "${@:2}" ;;
    checksums | check) "$1" ;;
    *) fail "unknown command '${1:-}': see the first lines of this script" ;;
esac
