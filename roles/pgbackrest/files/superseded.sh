#!/bin/sh
# Managed by Ansible (holdfast.ha.pgbackrest).
# pgbackrest-superseded CODE WAL: the exit code that PostgreSQL is to see when "archive-push WAL" has ended with CODE.
# 45: the archive has another file of this name. On an older timeline the archive is right: its file came whole from the
# primary of that time, this one is what a standby had received when it was cut off. PostgreSQL would try it for ever,
# and archive nothing newer.
set -eu
code=$1 wal=$2
[ "$code" = 45 ] || exit "$code"
timeline=$(basename "$wal" | cut -c 1-8)
newest=$(find "$(dirname "$wal")" -maxdepth 1 -name '*.history' | sort | tail -n 1)
newest=$(basename "$newest" .history)
if [ "$newest" \> "$timeline" ]; then
    echo "$wal: the archive has this segment from the primary of its timeline; timeline $newest has gone on from there"
    exit 0
fi
exit "$code"
