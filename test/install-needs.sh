#!/bin/sh
# Brings what the tests start besides Node: redis-server (7.0 or newer), promtool and openssl. What is missing is
# installed from Debian's packages, by root only; otherwise this ends with the command that does it.
set -u

missing=
packages=
need() {
  command -v "$1" >/dev/null && return
  missing="${missing:+$missing, }$1"
  packages="$packages $2"
}
fail() {
  echo "The tests need $1" >&2
  exit 1
}

need redis-server redis-server
need promtool prometheus
need openssl openssl
if [ -n "$missing" ]; then
  install="apt-get install --no-install-recommends$packages"
  [ "$(id -u)" -eq 0 ] || fail "$missing: run \"sudo $install\"."
  command -v apt-get >/dev/null || fail "$missing: install the packages of this system that have it."

  # Packages start no service while this says that they may not (101, invoke-rc.d).
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  wait='-o DPkg::Lock::Timeout=120'
  # The lists of a fresh machine are empty or old.
  apt-get $wait -q update && apt-get $wait -q -y install --no-install-recommends $packages ||
    fail "$missing: apt-get could not install it, its output says why; the command is \"$install\"."
fi

major=$(redis-server --version | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
[ "${major:-7}" -ge 7 ] || fail "redis-server 7.0 or newer, and this one is of version $major: install a newer one."
