/** What each host of a lab is told that it has: an equal share of the machine, less what the cloud itself needs. */

export interface Resources {
  cpuMillis: number
  memoryBytes: number
  diskBytes: number
}

// Database, two servers, registry and the supervisor, at rest and at work.
const CONTROL_MEMORY_BYTES = 1.5 * 2 ** 30
const MEMORY_BYTES_MIN = 512 * 2 ** 20
// Sparse files and images must not fill the machine's disk.
const DISK_SHARE = 0.5
// For the engines and the agent of the host itself.
const RESERVE: Resources = { cpuMillis: 100, memoryBytes: 256 * 2 ** 20, diskBytes: 2 ** 30 }

/**
 * Processors are told whole to every host and not divided: hosts of a lab are seldom busy together, and the kernel
 * divides time far better than a number could. Memory and disk are divided, for they cannot be lent.
 */
export function shareOf(
  machine: { cores: number; memoryBytes: number; diskFreeBytes: number },
  hosts: number,
): { capacity: Resources; reserve: Resources } {
  return {
    capacity: {
      cpuMillis: machine.cores * 1_000,
      memoryBytes: Math.max(
        MEMORY_BYTES_MIN,
        Math.floor((machine.memoryBytes - CONTROL_MEMORY_BYTES) / hosts),
      ),
      diskBytes: Math.floor((machine.diskFreeBytes * DISK_SHARE) / hosts),
    },
    reserve: RESERVE,
  }
}
