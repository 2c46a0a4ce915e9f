#!/bin/sh
# Usage: make.sh DIR
. "$(dirname -- "$0")/../history.sh"
begin "$1"

mkdir science/sky-2026-02
cat > science/sky-2026-02/sciserver-image.json <<'END'
{
  "image": "sky",
  "version": "1.0",
  "compat": "notebook"
}
END
cat > science/sky-2026-02/Dockerfile <<'END'
FROM sci/sky:1.0
RUN echo Vega >> /opt/sky/catalogue.txt
END
commit "sky 1.0: add Vega"
