#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

mkdir science/sky-1.1
cat > science/sky-1.1/sciserver-image.json <<'END'
{
  "image": "sky",
  "version": "1.1",
  "compat": "notebook"
}
END
cat > science/sky-1.1/Dockerfile <<'END'
FROM sci/sky:1.0
RUN echo Vega >> /opt/sky/catalogue.txt
END
commit "sky 1.1: add Vega"
