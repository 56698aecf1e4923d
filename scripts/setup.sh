#!/usr/bin/env bash
# Makes .venv ready for `make demo` and `make test`; does nothing where it is ready already.
#   scripts/setup.sh demo|test
# As root on Debian or Ubuntu it installs missing system packages; as a user it names them.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:?usage: scripts/setup.sh demo|test}

QT_PACKAGES="libgl1 libegl1 libopengl0 libgl1-mesa-dri libdbus-1-3 libfontconfig1 libglib2.0-0 libxkbcommon-x11-0
  libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0
  libxcb-shape0 libxcb-xkb1 fonts-dejavu-core"
TEST_PACKAGES="xvfb xauth"

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  say "No Python from 3.11 to 3.13 was found (tried python3.13, python3.12, python3.11, python3, python)."
  say "Install one (Debian 12 and later, Ubuntu 24.04 and later: apt-get install python3 python3-venv), or name it: make $purpose PYTHON=/path/to/python"
  exit 2
}

missing_packages() {
  local package installed
  for package in "$@"; do
    # Newer releases rename some libraries (libglib2.0-0 is libglib2.0-0t64 there): either name will do.
    installed=$(dpkg-query -W -f='${db:Status-Status}\n' "$package" "${package}t64" 2>/dev/null || true)
    grep -qx installed <<<"$installed" || echo "$package"
  done
}

install_system_packages() {
  local missing
  # shellcheck disable=SC2086
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" = 0 ]; then
    say "Installing system packages: $missing"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
  else
    say "System packages are missing: $missing"
    say "Get them with: sudo apt-get install -y --no-install-recommends $missing"
    return 1
  fi
}

system_packages() {
  command -v dpkg-query >/dev/null 2>&1 || return 0 # not Debian: the README says what is needed
  # shellcheck disable=SC2086
  case "$purpose" in
    test) install_system_packages $QT_PACKAGES $TEST_PACKAGES || exit 2 ;;
    demo)
      if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        install_system_packages $QT_PACKAGES || say "Going on; without them the window may not open."
      fi
      ;;
  esac
}

python_environment() {
  local python stamp ready
  stamp=$(cat pyproject.toml constraints.txt scripts/setup.sh | sha256sum 2>/dev/null || cat pyproject.toml constraints.txt scripts/setup.sh | shasum -a 256)
  ready=.venv/vesselkd-setup
  if [ -f "$ready" ] && [ "$(cat "$ready")" = "$stamp $PWD" ]; then return 0; fi
  python=$(find_python)
  if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if command -v dpkg-query >/dev/null 2>&1; then
      install_system_packages "python$version-venv" || exit 2
    else
      say "$python has no venv module: install it."
      exit 2
    fi
  fi
  say "Setting up .venv with $("$python" --version)"
  [ -x .venv/bin/python ] && .venv/bin/python -c '' >/dev/null 2>&1 || "$python" -m venv --clear .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check uv
  # uv does not read pip's settings: hand over the folder of local wheels, where one is set.
  local wheels
  wheels=${PIP_FIND_LINKS:-$(.venv/bin/python -m pip config get global.find-links 2>/dev/null || true)}
  if [ -n "$wheels" ]; then export UV_FIND_LINKS=${UV_FIND_LINKS:-${wheels// /,}}; fi
  .venv/bin/python -m uv pip install -q --python .venv/bin/python -c constraints.txt -e '.[dev]'
  printf '%s' "$stamp $PWD" >"$ready"
}

system_packages
python_environment
