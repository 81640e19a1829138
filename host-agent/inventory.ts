import { readdirSync, readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, release, totalmem } from 'node:os'
import path from 'node:path'
import type { HostInventory } from '@nubo/contracts'

/** Bounds of the contract (public/host.ts). */
const NICS_MAX = 256
const NAME_CHARACTERS_MAX = 40

export interface InventoryOptions {
  /** Where instances' state lies; its file system is the host's disk. */
  readonly stateDir: string
  readonly agentVersion: string
  /** Engine name → version; those that do not answer are left out. */
  readonly engines: Readonly<Record<string, string>>
  /** For tests; default /sys/class/net. */
  readonly netDir?: string
}

/** What this machine is made of. Links of instances are not counted among its NICs. */
export function readInventory(options: InventoryOptions): HostInventory {
  const disk = statfsSync(options.stateDir)
  return {
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    diskBytes: disk.bsize * disk.blocks,
    kernel: release(),
    engines: { ...options.engines },
    nics: readNics(options.netDir ?? '/sys/class/net'),
    agentVersion: options.agentVersion,
  }
}

function readNics(netDir: string): HostInventory['nics'] {
  let names: string[]
  try {
    names = readdirSync(netDir).toSorted()
  } catch {
    // Containers without sysfs; an inventory without NICs is better than none.
    return []
  }
  const nics: HostInventory['nics'] = []
  for (const name of names) {
    if (name === 'lo' || /^np[0-9a-f]{12}$/.test(name)) continue
    const mac = readText(path.join(netDir, name, 'address'))
    const mtuBytes = Number(readText(path.join(netDir, name, 'mtu')))
    if (mac === undefined || !Number.isInteger(mtuBytes)) continue
    nics.push({ name: name.slice(0, NAME_CHARACTERS_MAX), mac, mtuBytes })
    if (nics.length >= NICS_MAX) break
  }
  return nics
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    // An interface can go between the listing and the reading.
    return undefined
  }
}
