#!/bin/bash
# Stop the cluster that start.sh started with the same folder: cancel its jobs, end its daemons, remove its settings.
state=${1:?usage: stop.sh STATE_FOLDER}
timeout 10 scancel --user=root --full 2>/dev/null
for _ in $(seq 150); do
    [ -z "$(timeout 5 squeue -h -t running,completing 2>/dev/null)" ] && break
    sleep 0.2
done
pids=$(cat "$state"/slurmd-*.pid "$state"/slurmctld.pid "$state"/slurmdbd.pid \
    "$state"/database/mariadbd.pid "$state"/munge/munged.pid 2>/dev/null)
for pid in $pids; do kill "$pid" 2>/dev/null; done
# A container without init keeps the entries of ended processes, as zombies.
living() { grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"; }
for pid in $pids; do
    for _ in $(seq 300); do living "$pid" || break; sleep 0.1; done
    living "$pid" && kill -9 "$pid"
done
grep -qs "made by tests/slurm/cluster" /etc/slurm/slurm.conf && rm -f /etc/slurm/{slurm,gres,slurmdbd}.conf
true
