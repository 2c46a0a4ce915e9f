#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

echo Vega >> science/sky/catalogue.txt
commit "sky 1.0: the catalogue lacked Vega"
