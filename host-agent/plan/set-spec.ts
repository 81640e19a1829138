import type { WantedSet } from '@nubo/contracts/host'
import type { SetInterfaceSpec, SetSpec } from '../drivers/set/set-driver.ts'
import { setSpecHash } from '../drivers/set/spec-rules.ts'

/** Processes and threads of a whole set: enough for a large runtime, far from what a host has (fork bombs). */
const PIDS_MAX = 4_096
/** As container engines give by default; it counts as memory of the set. */
const SHM_BYTES_MAX = 64 * 2 ** 20
/** Kept per container; older lines go. */
const LOG_BYTES_MAX = 16 * 2 ** 20

/** Whether sets of the same content and these interfaces have the same spec. */
export function sameInterfaces(
  one: readonly SetInterfaceSpec[],
  other: readonly SetInterfaceSpec[],
): boolean {
  if (one.length !== other.length) return false
  return one.every((link, at) => {
    const like = other[at]
    return like !== undefined && interfaceFields.every((field) => link[field] === like[field])
  })
}

/** Every field of an interface; the compiler refuses a list that lacks one. */
const interfaceFields = Object.keys({
  name: true,
  hostInterface: true,
  mac: true,
  addressWithPrefix: true,
  gateway: true,
  mtu: true,
} satisfies Record<keyof SetInterfaceSpec, true>) as (keyof SetInterfaceSpec)[] // proof: keys of the literal

/** What the driver needs to run a wanted set with these interfaces. Pure. */
export function specOf(wanted: WantedSet, interfaces: readonly SetInterfaceSpec[]): SetSpec {
  const content: Omit<SetSpec, 'setId' | 'epoch' | 'specHash'> = {
    name: wanted.name,
    hostname: wanted.name,
    cpuMillis: wanted.cpuMillis,
    memoryBytes: wanted.memoryBytes,
    pidsMax: PIDS_MAX,
    shmBytes: Math.min(SHM_BYTES_MAX, Math.floor(wanted.memoryBytes / 2)),
    containers: wanted.containers.map((container) => ({
      name: container.name,
      index: container.index,
      image: container.image,
      ...(container.command === null ? {} : { command: container.command }),
      env: container.env,
      cpuMillis: container.cpuMillis,
      memoryBytes: container.memoryBytes,
      stopTimeoutMs: container.stopTimeoutMs,
      logBytesMax: LOG_BYTES_MAX,
    })),
    interfaces,
  }
  // The restart that a user asks for is another set of the same content: nothing of the earlier one is reused.
  const specHash = `${setSpecHash(content)}-${wanted.restartCount}`
  return { setId: wanted.id, epoch: wanted.epoch, specHash, ...content }
}
