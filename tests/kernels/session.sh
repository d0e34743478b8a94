#!/bin/bash
# Process 1 of a guest: makes it a host as the tests know it, runs pytest, and turns it off.
#
# The root is the real host's, read only; what is written goes into memory, and into /run/job alone to the host.
#   /run/job/arguments    of pytest, one a line
#   /run/job/modules      folder on the host with this kernel's modules
#   /run/job/report.xml   what came of it
# The control groups are mounted as on a hybrid host: version 1 with the controllers, version 2 beside it.
cd "${0%/*}/../.." || exit
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
trap 'sync; /bin/busybox poweroff -f' EXIT

mount -t proc -o nosuid,nodev,noexec proc /proc
dmesg --console-level err
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf

mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
    mkdir "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" "$controller" "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
done
mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified

checkout=$PWD
mkdir /run/checkout
mount --bind "$checkout" /run/checkout
mount -t tmpfs -o mode=1777 tmpfs /tmp
if [ ! -d "$checkout" ]; then # it was below /tmp
    mkdir -p "$checkout"
    mount --bind /run/checkout "$checkout"
fi
cd "$checkout" || exit
modules=$(</run/job/modules)
mount -t tmpfs -o mode=755 tmpfs /lib/modules && ln -s "$modules" "/lib/modules/$(uname -r)"
mkdir -p /run/var/upper /run/var/work
modprobe overlay && mount -t overlay -o lowerdir=/var,upperdir=/run/var/upper,workdir=/run/var/work overlay /var
echo guest >/proc/sys/kernel/hostname
ip link set lo up

mapfile -t arguments </run/job/arguments
export CI=true HOME=/root LANG=C.UTF-8 COLUMNS=120 PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
echo "the guest is ready"
.venv/bin/python -m pytest -p no:cacheprovider --color=no --junitxml=/run/job/report.xml \
    -o "junit_suite_name=$(uname -r)" "${arguments[@]}"
