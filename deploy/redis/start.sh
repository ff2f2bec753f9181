#!/bin/sh
# Starts one Redis of a group, or a Sentinel that watches them, in a container of deploy/failover.yml:
#   start.sh server ADDRESS FIRST    start.sh sentinel ADDRESS
# FIRST is the primary of the very first start. What Redis and Sentinel are told later they write into
# their own files, which lie beside the data.
set -eu
role=$1 here=$2
dir=/data
if [ "$(cat /run/arb/config/choice)" = demo ]; then dir=/data/demo; mkdir -p "$dir"; fi
conf=$dir/$role.conf
umask 077

if [ "$role" = sentinel ]; then
    [ -s "$conf" ] || { cat /run/arb/acl/sentinel.conf; echo "sentinel announce-ip $here"; } >"$conf"
    exec redis-server "$conf" --sentinel --dir "$dir"
fi

first=$3
if [ ! -s "$conf" ]; then
    {
        echo "include /etc/redis/arbstream.conf"
        echo "include /etc/redis/failover.conf"
        echo "include /run/arb/acl/replication.conf"
        echo "replica-announce-ip $here"
        [ "$here" = "$first" ] || echo "replicaof $first 6379"
    } >"$conf"
fi
# It may have been replaced while it was away: then it must not take writes until Sentinel finds it.
set --
for each in $ARB_SENTINELS; do
    primary=$(timeout 1 redis-cli -h "$each" -p 26379 --user health --pass '' --no-auth-warning \
        --raw SENTINEL GET-MASTER-ADDR-BY-NAME arb 2>/dev/null | head -n 1) || continue
    case $primary in
        [0-9]*.*) ;;
        *) continue ;;
    esac
    if [ "$primary" = "$here" ]; then set -- --replicaof no one; else set -- --replicaof "$primary" 6379; fi
    break
done
exec redis-server "$conf" --dir "$dir" --aclfile /run/arb/acl/users.acl --port 6379 --bind "*" "-::*" \
    --unixsocket "${ARB_SOCKET:-/tmp/redis.sock}" --unixsocketperm 777 "$@"
