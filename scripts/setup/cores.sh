#!/usr/bin/env bash
# Prints how many processes are worth starting at once: one for each processor in the affinity mask, but no more than the quota of the control
# groups, of version 1 or 2, rounded up. `usable_cores()` of base/cores.h answers the same for threads that compute.
# cores.sh [ROOT]: where /proc and /sys are found, for tests.
set -euo pipefail
root=${1:-}

# quota TIME PERIOD: prints it in processors, rounded up; nothing if there is none.
quota() {
    if [[ ${1:-} =~ ^[1-9][0-9]*$ && ${2:-} =~ ^[1-9][0-9]*$ ]]; then echo $((($1 + $2 - 1) / $2)); fi
}

# quotas_of FOLDER: those of a control group, in the files of both versions.
quotas_of() {
    local time period
    if read -r time period 2>/dev/null <"$1/cpu.max"; then quota "$time" "$period"; fi
    if read -r time 2>/dev/null <"$1/cpu.cfs_quota_us" && read -r period 2>/dev/null <"$1/cpu.cfs_period_us"; then quota "$time" "$period"; fi
}

# groups: the folders of this process's control groups that may limit it, and of those above them.
groups() {
    local controllers path mount
    while IFS=: read -r _ controllers path; do
        case ,$controllers, in
            ,,) mount=$root/sys/fs/cgroup ;;
            *,cpu,*) mount=$root/sys/fs/cgroup/cpu ;;
            *) continue ;;
        esac
        while [[ $path == /?* ]]; do
            echo "$mount$path"
            path=${path%/*}
        done
        echo "$mount"
    done
}

{
    env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc  # it would count those
    if [ -r "$root/proc/self/cgroup" ]; then
        groups <"$root/proc/self/cgroup" | while read -r folder; do quotas_of "$folder"; done
    fi
} | sort -n | head -n 1
