import { statfsSync } from 'node:fs'
import { availableParallelism, release, totalmem } from 'node:os'
import type { HostInventory } from '@nubo/contracts'
import { run } from '@nubo/runtime/process'
import { z } from 'zod'

/** Bounds of the contract (public/host.ts). */
const NICS_MAX = 256
const NAME_CHARACTERS_MAX = 40
const IP_TIMEOUT_MS = 5_000

export interface InventoryOptions {
  /** Where instances' state lies; its file system is the host's disk. */
  readonly stateDir: string
  readonly agentVersion: string
  /** Engine name → version; those that do not answer are left out. */
  readonly engines: Readonly<Record<string, string>>
}

/** What this machine is made of. Links of instances are not counted among its NICs. */
export async function readInventory(options: InventoryOptions): Promise<HostInventory> {
  const disk = statfsSync(options.stateDir)
  return {
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    diskBytes: disk.bsize * disk.blocks,
    kernel: release(),
    engines: { ...options.engines },
    nics: await readNics(),
    agentVersion: options.agentVersion,
  }
}

/** As the kernel tells this network namespace; sysfs would tell of the one that it was mounted in. */
async function readNics(): Promise<HostInventory['nics']> {
  // An inventory without NICs is better than none.
  const listed = await run({ argv: ['ip', '-j', 'link', 'show'], timeoutMs: IP_TIMEOUT_MS }).catch(
    () => undefined,
  )
  return listed === undefined ? [] : nicsOf(listed.stdout)
}

const links = z.array(
  z.looseObject({ ifname: z.string(), mtu: z.int(), address: z.string().optional() }),
)

/** The NICs in what `ip -j link` prints. Exported for its test. */
export function nicsOf(text: string): HostInventory['nics'] {
  return links
    .parse(JSON.parse(text))
    .filter(({ ifname }) => ifname !== 'lo' && !/^np[0-9a-f]{12}$/.test(ifname))
    .slice(0, NICS_MAX)
    .map(({ ifname, mtu, address }) => ({
      name: ifname.slice(0, NAME_CHARACTERS_MAX),
      mac: address ?? '',
      mtuBytes: mtu,
    }))
}
