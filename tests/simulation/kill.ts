import { readFileSync } from 'node:fs'
import { commit } from '@nubo/control-plane'
import { z } from 'zod'
import { UsageError, type SimOptions } from './options.ts'
import { SimulatedRegion } from './simulated-region.ts'

/** What `nubo host ls -o json` and `nubo set ls -o json` print, in one file; other fields do not matter. */
const inventory = z.object({
  hosts: z
    .array(
      z.object({
        name: z.string(),
        rack: z.string(),
        zone: z.string().default('zone-1'),
        capacity: z.object({ cpuMillis: z.int(), memoryBytes: z.int() }),
        power: z.unknown().optional(),
      }),
    )
    .min(1)
    .max(1_000),
  sets: z
    .array(
      z.object({
        name: z.string(),
        host: z.string().nullable(),
        cpuMillis: z.int(),
        memoryBytes: z.int(),
        recovery: z.enum(['local', 'elsewhere']),
        labels: z.record(z.string(), z.string()).default({}),
      }),
    )
    .max(20_000),
})
type Inventory = z.infer<typeof inventory>

/** Longer than the longest way to a fenced host: by lease it takes about a minute. */
const AFTERWARDS_MS = 180_000

/**
 * Loads the inventory into a simulated region, takes the power of the named hosts, and says what became of every set on them. What
 * answers is the product itself, with its brake, its rules of placement and its reasons.
 */
export async function killReport(options: SimOptions): Promise<string> {
  if (options.inventory === undefined) throw new UsageError('--inventory FILE is missing')
  const known = readInventory(options.inventory)
  const victims = known.hosts.filter(
    ({ name, rack, zone }) =>
      rack === options.rack || zone === options.zone || options.host.includes(name),
  )
  if (victims.length === 0) throw new UsageError('no host of the inventory is in what shall go')
  const region = await SimulatedRegion.start({
    seed: options.seed,
    startsAgents: false,
    hosts: known.hosts.map((host) => ({ ...host, ...host.capacity })),
  })
  try {
    await settle(region, known)
    const before = placesOf(region)
    for (const { name } of victims) region.hosts.find((host) => host.name === name)?.powerOff()
    await region.clock.advance(AFTERWARDS_MS)
    return await report(region, { before, victims: victims.map(({ name }) => name) })
  } finally {
    await region.stop()
  }
}

function readInventory(file: string): Inventory {
  const parsed = inventory.safeParse(JSON.parse(readFileSync(file, 'utf8')))
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new UsageError(`${file}: ${issue?.path.map(String).join('.')}: ${issue?.message}`)
}

/** Every set where the inventory has it. Agents start afterwards, so that nothing is placed in between. */
async function settle(region: SimulatedRegion, known: Inventory): Promise<void> {
  await region.call('networkCreate', { body: { name: 'net', cidr: '10.0.0.0/8' } })
  await region.call('subnetCreate', { body: { network: 'net', name: 'all', cidr: '10.1.0.0/16' } })
  const hostIds = new Map(region.hosts.map(({ name, hostId }) => [name, hostId]))
  for (const { host: _host, ...set } of known.sets) {
    const containers = [{ name: 'c0', index: 0, image: 'web' }]
    await region.call('setCreate', { body: { ...set, network: 'net', containers } })
  }
  await region.during(
    commit({ database: region.observer(), clock: region.clock }, async (tx, touched) => {
      for (const { name, host } of known.sets) {
        const hostId = host === null ? undefined : hostIds.get(host)
        if (hostId === undefined) continue
        const row = await tx
          .updateTable('set')
          // proof: an id of a host that was made above
          .set({ hostId: hostId as never, epoch: 1 })
          .where('name', '=', name)
          .returning('id')
          .executeTakeFirst()
        if (row !== undefined) touched.touch('set', row.id)
      }
    }),
  )
  for (const host of region.hosts) host.startAgent()
  await region.clock.advance(20_000)
  const body = { redfish: 'http://127.0.0.1:1/redfish/v1/Systems/1', user: 'nubo', password: 'x' }
  for (const { name, power } of known.hosts)
    if (power !== undefined && power !== null)
      await region.call('hostPowerSet', { params: { id: name }, body })
}

function placesOf(region: SimulatedRegion): ReadonlyMap<string, string> {
  const world = region.servers[0]?.region.world
  return new Map(
    [...(world?.set.values() ?? [])].flatMap((set) => {
      const host = world?.host.get(set.hostId)?.name
      return host === undefined ? [] : [[set.id, host] as const]
    }),
  )
}

async function report(
  region: SimulatedRegion,
  { before, victims }: { before: ReadonlyMap<string, string>; victims: readonly string[] },
): Promise<string> {
  const world = region.servers[0]?.region.world
  const { items: brakes } = await region.call('brakeList', {})
  const lines = [`without ${victims.join(', ')}, after ${AFTERWARDS_MS / 1_000} s:`]
  for (const { reason } of brakes) lines.push(`the brake holds: ${reason.text}`)
  let moved = 0
  let down = 0
  for (const [id, host] of before) {
    if (!victims.includes(host)) continue
    const set = await region.call('setShow', { params: { id } })
    const now = world?.host.get(world.set.get(id as never)?.hostId)?.name
    if (now !== undefined && !victims.includes(now)) {
      moved += 1
      lines.push(`  ${set.name}: ${host} → ${now}, ${set.state}`)
    } else {
      down += 1
      const why =
        set.recovery === 'local' ? 'it is local: it returns with its host' : set.reason?.text
      lines.push(`  ${set.name}: stays down: ${why ?? set.state}`)
    }
  }
  lines.push(`${moved} sets moved, ${down} stay down`, '')
  return lines.join('\n')
}
