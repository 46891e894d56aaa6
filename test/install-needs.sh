#!/bin/sh
# Brings what the tests start besides Node: redis-server (7.0 or newer) and promtool. Where one is missing it is
# installed from Debian's packages, by root only; otherwise this ends with the command that does it.
set -u

command="apt-get install --no-install-recommends redis-server prometheus"

missing=
command -v redis-server >/dev/null || missing="redis-server"
command -v promtool >/dev/null || missing="${missing:+$missing and }promtool"
if [ -z "$missing" ]; then
  major=$(redis-server --version | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
  [ "${major:-7}" -ge 7 ] && exit 0
  echo "The tests need redis-server 7.0 or newer, and this one is of version $major: install a newer one." >&2
  exit 1
fi

fail() {
  echo "The tests need $missing: $1" >&2
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail "run \"sudo $command\"."
command -v apt-get >/dev/null || fail 'install Redis 7.0 or newer and Prometheus with the package manager of this system.'

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
apt-get $wait -q update && apt-get $wait -q -y install --no-install-recommends redis-server prometheus ||
  fail "apt-get could not install it, its output says why; run \"$command\"."
