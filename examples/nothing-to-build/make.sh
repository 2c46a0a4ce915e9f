#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

sed -i 's/Tools to look at the sky/Tools to look at the night sky/' science/sky/sciserver-image.json
echo 'The night sky.' > science/sky/README.md
mv science/sky science/night-sky
commit "say that it is about the night"
