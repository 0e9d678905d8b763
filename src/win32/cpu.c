/* SPDX-License-Identifier: Apache-2.0 */
/* Windows: CPUs by affinity, and time by the job that this process is in. */
#include <string.h>

#include "win32.h"

/** Get this process's CPUs and the machine's, as bits. Both are 0 where the process is in several groups of CPUs. */
static void get_affinity(DWORD_PTR *process, DWORD_PTR *machine)
{
    if (!GetProcessAffinityMask(GetCurrentProcess(), process, machine))
        *process = *machine = 0;
}

static int count_bits(DWORD_PTR bits)
{
    int count = 0;
    for (; bits; bits &= bits - 1)
        count++;
    return count;
}

static int count_machine(void)
{
    const int count = (int)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return count < 1 ? 1 : count;
}

/** The share of the machine's time that the job grants, in 1/10000; 0 for no limit. */
static DWORD read_job_rate(void)
{
    JOBOBJECT_CPU_RATE_CONTROL_INFORMATION rate;
    memset(&rate, 0, sizeof rate);
    if (!QueryInformationJobObject(NULL, JobObjectCpuRateControlInformation, &rate, sizeof rate, NULL))
        return 0;
    const DWORD hard = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
    return (rate.ControlFlags & hard) == hard ? rate.CpuRate : 0;
}

int sys_cpu_count(void)
{
    DWORD_PTR own, all;
    const int machine = count_machine();
    get_affinity(&own, &all);
    /* All CPUs of a group is no restriction: children go to the other groups in turn. */
    int count = own == all ? machine : count_bits(own);
    const DWORD rate = read_job_rate();
    if (rate > 0 && rate <= 10000) {
        const int granted = (int)(((uint64_t)rate * (uint64_t)machine + 9999) / 10000);
        if (granted < count)
            count = granted;
    }
    return count < 1 ? 1 : count;
}

apr_status_t sys_check_cpu(int cpu)
{
    DWORD_PTR own, all;
    if (cpu < 0 || cpu >= count_machine())
        return APR_EINVAL;
    get_affinity(&own, &all);
    /* Binding to CPUs of several groups takes more than a mask. */
    if (cpu >= (int)(8 * sizeof own) || all == 0)
        return APR_ENOTIMPL;
    return own >> cpu & 1 ? APR_SUCCESS : APR_EINVAL;
}

apr_status_t sys_bind_cpus(const int *cpus, size_t count)
{
    DWORD_PTR bits = 0;
    for (size_t i = 0; i < count; i++) {
        if (cpus[i] < 0 || cpus[i] >= (int)(8 * sizeof bits))
            return APR_ENOTIMPL;
        bits |= (DWORD_PTR)1 << cpus[i];
    }
    return SetProcessAffinityMask(GetCurrentProcess(), bits) ? APR_SUCCESS : win32_error();
}
