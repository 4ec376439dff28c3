#!/bin/sh
# Managed by Ansible (holdfast.ha.pgbackrest).
# pgbackrest-get STANZA FILE PATH: fetches a file from the archive for PostgreSQL.
# A standby asks for the next segment whenever its stream ends, mostly in vain, and goes on with the answer. One that was
# given a segment may need many: then pgBackRest fetches ahead (archive-async), until it finds nothing more.
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
