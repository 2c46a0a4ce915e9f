#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

sed -i 's/299792458/"299792458 m\/s"/' science/nist-basic/Dockerfile
commit "nist-basic: a number has a unit"
