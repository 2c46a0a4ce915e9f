#!/bin/sh
# A command runs as the image's entrypoint runs it, in the workspace, and its status comes back.
set -u

batch() {
    tini -g -- with-home start-batch "$@"
}

said=$(batch sh -c 'pwd; echo done') || exit 1
[ "$said" = "/home/user/workspace
done" ] || { echo "it said: $said"; exit 1; }

batch sh -c 'exit 7'
[ $? -eq 7 ] || { echo 'the status of the command is lost'; exit 1; }

batch
[ $? -eq 64 ] || { echo 'without a command it should say how it is used'; exit 1; }
