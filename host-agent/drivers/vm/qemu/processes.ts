import { readdirSync } from 'node:fs'
import { PlatformError, sleep, type Clock } from '@nubo/base'
import { findProcess, signalProcess } from '@nubo/runtime/process'
import type { VmCgroups } from './vm-cgroups.ts'
import type { RunningVm } from './vm-records.ts'

/** A killed QEMU gives its memory back first, which takes a second for a hundred gigabytes. */
const END_TIMEOUT_MS = 15_000
const LOOK_MS = 10

/** Whether the process of the record runs: the same one, in the same boot. */
export function isAlive(run: RunningVm, bootId: string): boolean {
  return run.bootId === bootId && findProcess(run.pid)?.startTicks === run.startTicks
}

/**
 * Whether anything of the process still holds its files, taps and memory. The first thread of one that was killed is a
 * zombie while others of it are still ending, which takes a while where there is much memory to give back.
 */
function isHolding(pid: number): boolean {
  if (findProcess(pid) !== undefined) return true
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1
  } catch {
    return false // It was reaped.
  }
}

/**
 * Ends every process of a VM: what is in its cgroup, and the one of the record. Idempotent. ENGINE_UNAVAILABLE if one does
 * not end: it hangs in the kernel.
 */
export async function endProcesses(
  vmId: string,
  deps: {
    readonly cgroups: VmCgroups
    readonly clock: Clock
    readonly bootId: string
    readonly run: RunningVm | null
  },
): Promise<void> {
  const { cgroups, clock, bootId, run } = deps
  const deadlineMs = clock.monotonicMs() + END_TIMEOUT_MS
  for (;;) {
    const pids = new Set((await cgroups.pids(vmId)).filter(isHolding))
    if (run !== null && isAlive(run, bootId)) pids.add(run.pid)
    if (pids.size === 0) return
    for (const pid of pids) signalProcess(pid, 'SIGKILL')
    if (clock.monotonicMs() > deadlineMs) {
      throw new PlatformError(
        'ENGINE_UNAVAILABLE',
        { vmId, pids: [...pids], next: 'look at their state with ps; a reboot ends them' },
        { message: `processes of the VM do not end: ${[...pids].join(', ')}` },
      )
    }
    await sleep(clock, LOOK_MS)
  }
}

/** Waits until the process of the record has ended by itself; false if it has not after a while. */
export async function hasEnded(
  run: RunningVm,
  { clock, bootId, timeoutMs }: { clock: Clock; bootId: string; timeoutMs: number },
): Promise<boolean> {
  const deadlineMs = clock.monotonicMs() + timeoutMs
  const isOurs = run.bootId === bootId && findProcess(run.pid)?.startTicks === run.startTicks
  while (isOurs && isHolding(run.pid)) {
    if (clock.monotonicMs() > deadlineMs) return false
    await sleep(clock, LOOK_MS)
  }
  return true
}
