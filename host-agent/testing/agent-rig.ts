import { seededRandom, VirtualClock } from '@nubo/base'
import { wantedKey, type FoundSet, type WantedItem, type WantedSet } from '@nubo/contracts/host'
import { createSimulatedHost, type SimulatedHostOptions } from '../simulated/simulated-host.ts'
import { FakeServers } from './fake-server.ts'
import { testId, testSetWithPort, testUpdate } from './wanted.ts'

/** A simulated host and the servers that it talks to, under a virtual clock. */
export function makeRig(options: Partial<SimulatedHostOptions> = {}) {
  const clock = new VirtualClock()
  const servers = new FakeServers()
  let revision = 0
  const wanted = new Map<string, WantedItem>()
  const host = createSimulatedHost({
    hostId: testId('host', 1),
    clock,
    random: seededRandom(1),
    connector: servers,
    servers: ['s1:7443'],
    vtepAddress: '172.16.0.1',
    ...options,
  })
  servers.onHello = (agent) => {
    const hello = agent.of('hello')[0]
    // A server that knows the revision sends what came after it: here nothing, as nothing changes in between.
    if (hello?.wantedRevision === revision && revision > 0) agent.want(testUpdate(revision, []))
    else agent.want(testUpdate(revision, [...wanted.values()], { full: true }))
  }
  host.start()
  return {
    clock,
    servers,
    host,
    /** Says that these items are wanted now, to whoever is connected. */
    want: (items: WantedItem[]) => {
      for (const item of items) wanted.set(wantedKey(item), item)
      revision += 1
      servers.last.want(testUpdate(revision, items))
    },
    unwant: (keys: string[]) => {
      for (const key of keys) wanted.delete(key)
      revision += 1
      servers.last.want(testUpdate(revision, [], { removes: keys }))
    },
    /** What the servers know of the set. */
    known: (number = 1): FoundSet | undefined => servers.last.found.get(testId('set', number)),
    untilState: (state: FoundSet['state'], number = 1) =>
      clock.advanceUntil(() => servers.last.found.get(testId('set', number))?.state === state),
  }
}

export type Rig = ReturnType<typeof makeRig>

/** The same with set 1 running. */
export async function runningRig(
  options: Partial<SimulatedHostOptions> = {},
  change: Partial<WantedSet> = {},
): Promise<Rig> {
  const rig = makeRig(options)
  await rig.clock.advance(10)
  rig.want(testSetWithPort(1, change))
  await rig.untilState('running')
  return rig
}

/** Ids of the sets that are on the host. */
export function sandboxes(rig: Rig): string[] {
  return [...rig.host.setHost.sets.keys()]
}
