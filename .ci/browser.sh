#!/usr/bin/env bash
# A browser for the tests: one that is there, else Debian's or Ubuntu's package, else Playwright's own.
# Usage: .ci/browser.sh PYTHON
set -euo pipefail

found() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

found && exit 0
if command -v apt-get > /dev/null; then
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    echo "installing chromium for the browser tests (once)"
    "${as_root[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq chromium \
        > /dev/null || echo "apt-get could not install it" >&2
    found && exit 0
fi
echo "installing Playwright's chromium for the browser tests (once)"
"$1" -m playwright install chromium && exit 0
echo "the browser tests need Chromium or Chrome on the PATH; install one, for example: sudo apt-get install chromium" >&2
exit 1
