#!/bin/bash
# Give the cluster of start.sh an accounting database: MariaDB on a socket and slurmdbd on the loopback address; root has
# the account root by itself. Called by start.sh when ACCOUNTING=1, after munged and slurm.conf are there.
set -euo pipefail
state=${1:?usage: accounting.sh STATE_FOLDER}
database=$state/database
sed -i '/^AccountingStorageType=/d' /etc/slurm/slurm.conf
cat >> /etc/slurm/slurm.conf <<EOF
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass=$state/munge/munge.sock
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations
AccountingStoreFlags=job_comment
EOF
install -d -o mysql -g mysql "$database"
mariadb-install-db --no-defaults --user=mysql --datadir="$database" --auth-root-authentication-method=socket \
    --skip-test-db > "$state/mariadb-install.log" 2>&1
/usr/sbin/mariadbd --no-defaults --user=mysql --datadir="$database" --socket="$database/socket" --skip-networking \
    --pid-file="$database/mariadbd.pid" --innodb-lock-wait-timeout=900 > "$state/mariadbd.log" 2>&1 &
sql() { mariadb --no-defaults --socket="$database/socket" --execute "$1"; }
for _ in $(seq 300); do sql "SELECT 1" > /dev/null 2>&1 && break; sleep 0.2; done
sql "CREATE DATABASE slurm_acct_db"
install -m 600 /dev/stdin /etc/slurm/slurmdbd.conf <<EOF
# made by tests/slurm/cluster
AuthType=auth/munge
AuthInfo=socket=$state/munge/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile=$state/slurmdbd.log
PidFile=$state/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
EOF
MYSQL_UNIX_PORT="$database/socket" /usr/sbin/slurmdbd
for _ in $(seq 300); do sacctmgr -n show cluster > /dev/null 2>&1 && break; sleep 0.2; done
sacctmgr -i -Q add cluster transfusion-test
