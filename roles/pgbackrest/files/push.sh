#!/bin/sh
# Managed by Ansible (holdfast.ha.pgbackrest).
# pgbackrest-push STANZA WAL: archives a file for PostgreSQL, which runs this in its data directory.
set -eu
stanza=$1 wal=$2

# Fetching many at once (archive-async) pays when there are many. A few go several times faster one by one: who waits for
# pgBackRest's other process looks for its answer after 0.1, 0.3, 0.6 and 1.1 s, and an orderly stop waits for the last
# file. While that process runs, which its lock tells, it may be at this very file.
are_few() {
    for lock in "/run/pgbackrest/$stanza"-archive*.lock; do
        [ ! -e "$lock" ] || return 1
    done
    set -- "${wal%/*}"/archive_status/*.ready
    [ $# -le 3 ]
}

# The archive may have another file of this name. On an older timeline the archive is right: its file came whole from the
# primary of that time, this one is what a standby had received when it was cut off. PostgreSQL would try it for ever,
# and archive nothing newer.
is_superseded() {
    for newest in "${wal%/*}"/*.history; do :; done
    [ -e "$newest" ] || return 1
    newest=$(basename "$newest" .history)
    [ "$newest" \> "$(basename "$wal" | cut -c 1-8)" ] || return 1
    echo "$wal: the archive has this segment from the primary of its timeline; timeline $newest has gone on from there"
}

async=
if are_few; then
    async=--no-archive-async
fi
code=0
pgbackrest --stanza="$stanza" $async archive-push "$wal" || code=$?
if [ $code = 45 ] && is_superseded; then # error 45: another file of this name
    code=0
fi
exit $code
