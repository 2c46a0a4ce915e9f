#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

sed -i 's/"version": "1.0"/"version": "1.1"/' science/sky/sciserver-image.json
commit "sky: now 1.1"
