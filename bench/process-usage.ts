/** What a process has used, from /proc. */
import { readdirSync, readFileSync } from 'node:fs'

export const CPU_TICKS_PER_SECOND = 100

/** User and system time of all threads so far. */
export function cpuTicks(pid: number): number {
  const { own } = statOf(pid)
  return own
}

/** The same of a process and its children, those that have ended too; not of theirs. */
export function familyCpuTicks(pid: number): number {
  const { own, ofEnded } = statOf(pid)
  let ticks = own + ofEnded
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const child = statOf(Number(entry))
      if (child.parent === pid) ticks += child.own
    } catch {
      // It ended meanwhile, and its parent has its time.
    }
  }
  return ticks
}

function statOf(pid: number): { parent: number; own: number; ofEnded: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name, in parentheses, may hold spaces; the state behind it is field 3, ppid 4, utime 14 to cstime 17.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const at = (field: number): number => Number(fields[field - 3])
  return { parent: at(4), own: at(14) + at(15), ofEnded: at(16) + at(17) }
}

export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kibibytes) * 1_024
}
