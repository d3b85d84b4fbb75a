#!/bin/bash
# Start a SLURM of three emulated nodes with fake GPUs on this host, as root. State: first argument. With an accounting
# database if ACCOUNTING=1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
state=${1:?usage: start.sh STATE_FOLDER}
if [ -e /etc/slurm/slurm.conf ] && ! grep -q "made by tests/slurm/cluster" /etc/slurm/slurm.conf; then
    echo "/etc/slurm/slurm.conf belongs to another cluster: not touched" >&2
    exit 3
fi
mkdir -p "$state"/{munge,ctld,spool-g1,spool-g2,spool-c1,dev} /etc/slurm
chmod 755 "$state" "$state/munge"
for i in 0 1; do   # a fake GPU is a device file that behaves like /dev/null
    [ -c "$state/dev/gpu$i" ] || mknod -m 666 "$state/dev/gpu$i" c 1 3
done
chown munge:munge "$state/munge"
head -c 128 /dev/urandom > "$state/munge/munge.key"
chown munge:munge "$state/munge/munge.key"
chmod 400 "$state/munge/munge.key"
for file in slurm.conf gres.conf; do
    sed -e "s#@STATE@#$state#g" -e "s#@HOST@#$(hostname -s)#g" "$here/$file.in" > "/etc/slurm/$file"
done
runuser -u munge -- /usr/sbin/munged --key-file="$state/munge/munge.key" --socket="$state/munge/munge.sock" \
    --pid-file="$state/munge/munged.pid" --log-file="$state/munge/munged.log" --seed-file="$state/munge/munged.seed"
if [ "${ACCOUNTING:-}" = 1 ]; then "$here/accounting.sh" "$state"; fi
/usr/sbin/slurmctld -i
for node in g1 g2 c1; do /usr/sbin/slurmd -N "$node"; done
for _ in $(seq 300); do
    [ "$(sinfo -hN -o '%N %t' 2>/dev/null | sort -u | grep -c ' idle$')" = 3 ] && exit 0
    sleep 0.2
done
sinfo -Nl >&2
exit 1
