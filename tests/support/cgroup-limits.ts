import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

const ROOT = '/sys/fs/cgroup'

export interface CgroupLimits {
  readonly cpuMillis: number
  readonly memoryBytes: number
  readonly pids: number
}

/** The limits that the kernel holds a process to: of its cgroup or of one above it, whichever is lower. */
export function cgroupLimitsOf(pid: number): CgroupLimits {
  const v2 = existsSync(join(ROOT, 'cgroup.controllers'))
  const lowest = (controller: string, read: (folder: string) => number): number => {
    const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
      .split('\n')
      .find((text) =>
        v2 ? text.startsWith('0::') : text.split(':')[1]?.split(',').includes(controller),
      )
    const root = v2 ? ROOT : join(ROOT, controller)
    let lowestSoFar = Infinity
    for (let path = line?.split(':')[2] ?? '/'; path !== '/'; path = dirname(path))
      lowestSoFar = Math.min(lowestSoFar, read(join(root, path)))
    return lowestSoFar
  }
  return {
    cpuMillis: lowest('cpu', (folder) => {
      const [quota, period] = v2
        ? textOf(folder, 'cpu.max').split(' ')
        : [textOf(folder, 'cpu.cfs_quota_us'), textOf(folder, 'cpu.cfs_period_us')]
      return quota === 'max' || quota === '-1' ? Infinity : (1_000 * Number(quota)) / Number(period)
    }),
    memoryBytes: lowest('memory', (folder) =>
      numberOf(textOf(folder, v2 ? 'memory.max' : 'memory.limit_in_bytes')),
    ),
    pids: lowest('pids', (folder) => numberOf(textOf(folder, 'pids.max'))),
  }
}

function textOf(folder: string, file: string): string {
  return readFileSync(join(folder, file), 'utf8').trim()
}

function numberOf(text: string): number {
  return text === 'max' ? Infinity : Number(text)
}
