# Sourced by each example's make.sh: creates a git history that is identical on every machine, so
# that the tags in expected.txt are too.
#
#   begin DIR     creates a repository in DIR with the example's tree/
#   commit TEXT   commits all changes
#
# shellcheck shell=sh
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=example GIT_AUTHOR_EMAIL=example@localhost
export GIT_COMMITTER_NAME=example GIT_COMMITTER_EMAIL=example@localhost
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE

begin() {
    mkdir -p "$1"
    cd "$1"
    if [ -n "$(ls -A)" ]; then
        echo "$1 is not empty: name a new directory" >&2
        exit 2
    fi
    git -c init.defaultBranch=main init --quiet
    cp -R "$here/tree/." .
    clock=1767225600
    commit "the tree as it was"
}

commit() {
    clock=$((clock + 3600))
    git add --all
    GIT_AUTHOR_DATE="$clock +0000" GIT_COMMITTER_DATE="$clock +0000" git commit --quiet --message "$1"
}
