#!/usr/bin/env bash
# A PostgreSQL server for the tests of campaigns that several machines share: one that is there, else Debian's or
# Ubuntu's package.  The package's own server is not used; the tests start one of their own, on a socket in a folder.
# Usage: .ci/postgres.sh
set -euo pipefail

# Debian keeps the programs of a server out of the PATH, in a folder for each version.
found() {
    command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2> /dev/null
}

found && exit 0
if command -v apt-get > /dev/null; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    echo "installing postgresql for the tests of shared campaigns (once)"
    # RUNLEVEL=1 keeps the package from starting its server.
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends postgresql > /dev/null || echo "apt-get could not install it" >&2
    found && exit 0
fi
echo "the tests of shared campaigns need a PostgreSQL server; install one, for example: sudo apt-get install postgresql" >&2
exit 1
