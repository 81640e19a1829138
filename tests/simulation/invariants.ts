import assert from 'node:assert/strict'
import { quotaMismatches, readTables, worldKinds } from '@nubo/control-plane'
import type { SimulatedRegion } from './simulated-region.ts'

/** Holds at every moment, whatever is broken. */
export function checkAlways(region: SimulatedRegion): void {
  for (const server of region.servers) {
    if (!server.isUp) continue
    const addresses = new Set<string>()
    for (const port of server.region.world.port.values()) {
      const key = `${port.subnetId}/${port.address}`
      assert.ok(
        !addresses.has(key),
        `${server.name} knows two ports with the address ${port.address}`,
      )
      addresses.add(key)
    }
    for (const operation of server.region.world.operation.values()) {
      if (operation.endedAtMs !== null) continue
      const lateMs = region.clock.nowMs() - operation.deadlineAtMs
      assert.ok(
        lateMs < 30_000,
        `operation ${operation.kind} of ${operation.resourceName} waits ${lateMs} ms past its deadline`,
      )
    }
  }
  const runsOn = new Map<string, string>()
  for (const [name, host] of region.hosts) {
    for (const [setId, set] of host.setHost.sets) {
      const key = `${setId}@${set.spec.epoch}`
      assert.ok(!runsOn.has(key), `set ${key} is on ${runsOn.get(key)} and on ${name}`)
      runsOn.set(key, name)
    }
  }
}

/** Holds once faults have stopped and things had time: wanted is reached, nothing is left over, every copy is equal. */
export async function checkAtRest(region: SimulatedRegion): Promise<void> {
  checkAlways(region)
  assert.deepEqual(await quotaMismatches(region.database()), [])
  const { revision, rows } = await readTables(region.database())
  for (const server of region.servers) {
    const { world } = server.region
    assert.equal(world.revision, revision, `${server.name} is behind`)
    for (const kind of worldKinds) {
      const wanted = rows.filter((row) => row.kind === kind).map((row) => row.body)
      const found = [...world[kind].values()].map((row) => ({ ...row }))
      const byId = (a: object, b: object): number =>
        JSON.stringify(a) < JSON.stringify(b) ? -1 : 1
      assert.deepEqual(
        found.map(sorted).toSorted(byId),
        wanted.map(sorted).toSorted(byId),
        `${server.name}: ${kind}`,
      )
    }
  }
  const [server] = region.servers
  if (server === undefined) return
  const { world } = server.region
  assert.deepEqual(
    [...world.operation.values()]
      .filter((row) => row.endedAtMs === null)
      .map((row) => `${row.kind} ${row.resourceName}: ${row.progress}`),
    [],
  )
  const { items } = await region.call('setList')
  for (const set of items) {
    const row = world.set.get(set.id)
    assert.equal(
      set.state,
      row?.wanted === 'stopped' ? 'stopped' : 'running',
      `set ${set.name}: ${set.reason?.text ?? ''}`,
    )
  }
  for (const [name, host] of region.hosts) {
    const placed = world.set.by('host', host.hostId).map((set) => set.id as string)
    const there = [...host.setHost.sets.keys()]
    const wanted = placed.filter((id) => world.set.get(id)?.wanted === 'running')
    for (const id of wanted)
      assert.ok(there.includes(id), `${name} lacks set ${world.set.get(id)?.name}`)
    for (const id of there)
      assert.ok(placed.includes(id), `${name} has a set ${id} that is not placed there`)
  }
}

function sorted(row: object): object {
  return Object.fromEntries(Object.entries(row).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}
