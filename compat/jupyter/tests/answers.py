#!/usr/bin/env python3
"""The notebook server, started as the image's entrypoint starts it, answers below the base URL that it was given."""

import os
import subprocess
import sys
import time
import urllib.request

URL = "http://127.0.0.1:8888/some/where/api"

server = subprocess.Popen(
    ["tini", "-g", "--", "with-home", "start-jupyter", "/some/where"],
    env={**os.environ, "JUPYTER_TOKEN": ""},
)
try:
    # The time that the test may take ends this, if nothing else does.
    while server.poll() is None:
        try:
            with urllib.request.urlopen(URL, timeout=10) as answer:
                print(answer.status, answer.read().decode())
                sys.exit(0 if answer.status == 200 else 1)
        except OSError:
            time.sleep(0.2)
    sys.exit(f"the server ended with status {server.returncode}")
finally:
    server.terminate()
