#!/usr/bin/env bash
# A Redis server for the tests of the stores; each test run starts a server of its own on a free loopback port.
# Usage: .ci/redis.sh
exec "$(dirname "$0")/debian.sh" redis-server "the tests of the stores" sh -c "command -v redis-server"
