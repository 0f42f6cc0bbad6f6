#!/usr/bin/env bash
# A PostgreSQL server for the tests of campaigns that several machines share; the tests start one of their own, on a
# socket in a folder.  Debian keeps the programs of a server out of the PATH, in a folder for each version.
# Usage: .ci/postgres.sh
exec "$(dirname "$0")/debian.sh" postgresql "the tests of shared campaigns" \
    sh -c "command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2> /dev/null"
