#!/usr/bin/env bash
# A Redis server for the tests of the stores: one that is there, else Debian's or Ubuntu's package.
# The package's own service is not started; each test run starts a server of its own on a free loopback port.
# Usage: .ci/redis.sh
set -euo pipefail

found() {
    command -v redis-server
}

found && exit 0
if command -v apt-get > /dev/null; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    echo "installing redis-server for the tests of the stores (once)"
    # RUNLEVEL=1 keeps the package from starting its service.
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends redis-server > /dev/null || echo "apt-get could not install it" >&2
    found && exit 0
fi
echo "the tests of the stores need redis-server on the PATH; install one, for example: sudo apt-get install redis-server" >&2
exit 1
