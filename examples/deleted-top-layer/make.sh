#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

git rm -r --quiet science/sky-2026-02
commit "clean up"
