#!/bin/sh
# Managed by Ansible (holdfast.ha.pgbackrest).
# pgbackrest-each STANZA TYPE REPOSITORY...: takes a backup in each repository in turn. A failure does not affect the
# other repositories; only the failed backup is retried, up to three times, five minutes apart.
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
