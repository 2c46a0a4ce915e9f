#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

sed -i 's/"compat": "notebook"/"compat": "batch"/' science/sky/sciserver-image.json
commit "sky is for batch jobs"
