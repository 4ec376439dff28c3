#!/bin/sh
# Managed by Ansible (holdfast.ha.pgbackrest).
# pgbackrest-get STANZA FILE PATH: fetches a file from the archive for PostgreSQL.
# A standby asks for the next segment whenever its stream ends; usually the archive has none, and the standby continues.
# A standby that got a segment may need many more: then pgBackRest prefetches (archive-async) until it finds no more.
set -eu
stanza=$1 file=$2 path=$3
behind=/run/pgbackrest/$stanza-behind
async=--no-archive-async
if [ -e "$behind" ]; then
    async=
fi
code=0
pgbackrest --stanza="$stanza" $async archive-get "$file" "$path" || code=$?
case $file in
    *.*) ;;
    *) if [ $code = 0 ]; then touch "$behind"; else rm -f "$behind"; fi || true ;;
esac
exit $code
