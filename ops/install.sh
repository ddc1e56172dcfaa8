# Sourced by ./run and ./test, in the folder they stand in: makes .venv and installs a locked list into it.
# POSIX sh. Every failure is one sentence on stderr and a non-zero exit.

needed_mb=600 # the installed packages, and one of them twice while it is unpacked

say() { printf '%s\n' "$*" >&2; }
fail() { say "VLog: $*"; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in ${VLOG_PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if command -v "$candidate" >/dev/null 2>&1 && new_enough "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

explain_python() {
    found=$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null) || found=""
    if [ -n "${VLOG_PYTHON:-}" ]; then
        fail "VLOG_PYTHON is \"$VLOG_PYTHON\": it must be a Python 3.11 or newer."
    elif [ -n "$found" ]; then
        fail "Python 3.11 or newer is needed and this is $found; install a newer one and name it: VLOG_PYTHON=/path/to/python3.12 $0"
    fi
    fail "Python 3.11 or newer is needed and there is none; on Debian or Ubuntu type: sudo apt-get install python3 python3-venv"
}

# Sets $root_do to what must stand before a command that root runs; fails when there is no way without a password.
root_do=""
may_be_root() {
    root_do=""
    [ "$(id -u)" -eq 0 ] && return 0
    root_do="sudo -n"
    command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null
}

install_venv_package() {
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if ! command -v apt-get >/dev/null 2>&1; then
        fail "this Python cannot make virtual environments; install its venv module and start $0 again."
    elif ! may_be_root; then
        fail "$package is missing; type: sudo apt-get install $package   and start $0 again."
    fi
    say "Installing $package with apt-get (once)."
    said=$({ $root_do apt-get update -qq && $root_do env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$package"; } 2>&1) && return 0
    printf '%s\n' "$said" | tail -n 3 >&2
    fail "apt-get could not install $package; see the lines above, then start $0 again."
}

make_venv() {
    if [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1 && new_enough .venv/bin/python; then
        return 0
    fi
    python=$(find_python) || explain_python
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_venv_package "$python"
    if ! mkdir -p .venv 2>/dev/null || ! touch .venv/.writable 2>/dev/null; then
        fail "the folder $(pwd) cannot be written by this user; move VLog to a folder of your own, or change its owner."
    fi
    require_space "$python"
    say "Making a virtual environment in .venv with $("$python" --version)."
    if ! made=$("$python" -m venv --clear .venv 2>&1); then
        explain_install "$made"
    fi
}

fail_for_space() { fail "the disk is full: free about $needed_mb MB where $(pwd) lies, then start $0 again."; }

# A full disk is better found before the download than in the middle of it.
require_space() {
    "$1" -c 'import shutil, sys; sys.exit(shutil.disk_usage(".").free < int(sys.argv[1]) << 20)' "$needed_mb" ||
        fail_for_space
}

# The one sentence for what pip or venv said.
explain_install() {
    case $1 in
    *"No space left"* | *"Disk quota"*)
        fail_for_space ;;
    *"ermission denied"* | *"Read-only file system"*)
        fail "the folder $(pwd)/.venv cannot be written by this user; change its owner, or delete it, then start $0 again." ;;
    *"NewConnectionError"* | *"ConnectionError"* | *"name resolution"* | *"NameResolutionError"* | *"timed out"* | *"SSLError"* | *"Max retries"*)
        fail "the Python package index could not be reached; check the network (or pip's proxy and index settings), then start $0 again." ;;
    *"DO NOT MATCH THE HASHES"*)
        fail "a package did not have the checksum it should have, and was not installed; start $0 again, and if it stays so, do not trust this network." ;;
    esac
    printf '%s\n' "$1" | grep -v '^$' | tail -n 4 >&2
    fail "the packages could not be installed; the lines above say why."
}

# install_lock FILE: installs what FILE lists, unless the environment was made from exactly this FILE.
install_lock() {
    lock=$1
    make_venv
    cmp -s "$lock" ".venv/$lock" && return 0
    rm -f ".venv/$lock"
    say "Installing what VLog needs (about 150 MB to download, once). This takes a minute or two."
    log=.venv/install.log
    # crontab, which rq-scheduler asks for, is published as source only: pure Python, checked by its hash like the rest.
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --require-hashes --no-deps \
        --only-binary :all: --no-binary crontab -r "$lock" >"$log" 2>&1 &
    pip=$!
    trap 'kill "$pip" 2>/dev/null; say; fail "stopped; start $0 again to go on."' INT TERM HUP
    show_progress "$pip" "$log"
    wait "$pip" || explain_install "$(tail -n 40 "$log")"
    trap - INT TERM HUP
    cp "$lock" ".venv/$lock" || explain_install "No space left"
}

show_progress() {
    [ -t 2 ] || return 0
    while kill -0 "$1" 2>/dev/null; do
        line=$(sed -n 's/^Collecting \([A-Za-z0-9._-]*\).*/\1/p' "$2" | tail -n 1)
        grep -q '^Installing collected' "$2" && line="unpacking"
        printf '\r\033[K  %s' "$line" >&2
        sleep 1
    done
    printf '\r\033[K' >&2
}
