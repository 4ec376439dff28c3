#!/bin/sh
# Managed by Ansible (holdfast.ha.pgbackrest).
# pgbackrest-each STANZA TYPE REPOSITORY...: a backup to each repository in turn. One that fails keeps no other from its
# own; it alone is tried again five minutes later, three times.
set -u
stanza=$1 type=$2
shift 2

backup() {
    pgbackrest --stanza="$stanza" --repo="$1" --type="$type" --log-level-console=info $2 backup
}

left=$*
for pause in 0 300 300 300; do
    sleep "$pause"
    failed=
    for repository in $left; do
        [ -n "${HOLDFAST_TRY_STANDBY:-}" ] && backup "$repository" --backup-standby && continue
        backup "$repository" '' || failed="$failed $repository"
    done
    left=$failed
    [ -n "$left" ] || exit 0
done
echo "$type backup of $stanza: not in the repositories$left" >&2
exit 1
