#!/usr/bin/env bash
# A program for the tests that is not Python's: one that is there, else Debian's or Ubuntu's package, without its service.
# Usage: .ci/debian.sh PACKAGE "what needs it" COMMAND... (COMMAND prints where the program is, and fails without it)
set -euo pipefail
package=$1 purpose=$2
shift 2

"$@" && exit 0
if command -v apt-get > /dev/null; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    echo "installing $package for $purpose (once)"
    # RUNLEVEL=1 keeps the package from starting its service.
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends "$package" > /dev/null || echo "apt-get could not install it" >&2
    "$@" && exit 0
fi
echo "$purpose need $package; install it, for example: sudo apt-get install $package" >&2
exit 1
