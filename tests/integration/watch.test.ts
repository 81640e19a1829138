import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Client, WatchQuery } from '@nubo/client'
import type { WatchEvent } from '@nubo/contracts'
import { send } from '../support/http.ts'
import { joinHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
} from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { waitUntil } from '../support/wait.ts'

interface Watcher {
  readonly events: WatchEvent[]
  /** Events that are no `synced`, as 'change network shop'. */
  readonly seen: () => string[]
  until(isSo: (watcher: Watcher) => boolean): Promise<unknown>
  stop(): Promise<void>
}

function watch(context: TestContext, client: Client, query: WatchQuery = {}): Watcher {
  const abort = new AbortController()
  const events: WatchEvent[] = []
  let failure: unknown
  const reading = (async () => {
    try {
      for await (const event of client.watch(query, { signal: abort.signal })) events.push(event)
    } catch (error) {
      if (!abort.signal.aborted) failure = error
    }
  })()
  const watcher: Watcher = {
    events,
    seen: () => events.filter(({ type }) => type !== 'synced').map(labelOf),
    until: (isSo) =>
      waitUntil(
        () => {
          if (failure !== undefined) throw failure
          return watcher
        },
        (one) => isSo(one),
      ),
    stop: async () => {
      abort.abort()
      await reading
    },
  }
  context.after(() => watcher.stop())
  return watcher
}

function labelOf({ type, kind, id, object }: WatchEvent): string {
  const name =
    typeof object === 'object' && object !== null && 'name' in object ? String(object.name) : id
  return `${type} ${kind} ${name}`
}

const isSynced = ({ events }: Watcher): boolean => events.some(({ type }) => type === 'synced')
const CIDR = '10.0.0.0/16'
const makeNamed = (client: Client, name: string) =>
  client.networkCreate({ body: { name, cidr: CIDR } })

test('a watch tells what is there, then every change, whichever server made it; resumed elsewhere it misses nothing', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  const bank = await makeProject(region, 'bank')
  const [one, other] = region.servers.map((server) => region.client(shop.tokens.member, [server]))
  assert.ok(one !== undefined && other !== undefined)

  await t.test(
    'present objects come first, then synced, then changes made on the other server',
    async (inner) => {
      await makeNamed(one, 'old')
      await everywhere(region)
      const watcher = watch(inner, other, { kind: 'network' })
      await watcher.until(isSynced)
      assert.deepEqual(watcher.seen(), ['change network old'])
      const made = await makeNamed(one, 'new')
      await watcher.until(({ seen }) => seen().includes('change network new'))
      const told = watcher.events.at(-1)
      assert.deepEqual(told?.object, made, 'an event shows what show shows')
      await one.networkRemove({ params: { id: 'new' } })
      await watcher.until(({ seen }) => seen().includes(`removed network ${made.id}`))
      const revisions = watcher.events.map(({ revision }) => revision)
      assert.deepEqual(
        revisions,
        revisions.toSorted((a, b) => a - b),
      )
    },
  )

  await t.test('kinds and one object can be asked for, by name or id', async (inner) => {
    const kept = await makeNamed(one, 'kept')
    await one.subnetCreate({ body: { network: 'kept', name: 'sub', cidr: '10.0.1.0/24' } })
    await everywhere(region)
    const byKinds = watch(inner, one, { kind: ['subnet', 'port'] })
    const byName = watch(inner, one, { kind: 'network', id: 'kept' })
    const byId = watch(inner, other, { id: kept.id })
    await Promise.all([byKinds, byName, byId].map((watcher) => watcher.until(isSynced)))
    await makeNamed(one, 'beside')
    await one.portCreate({ body: { name: 'port', network: 'kept' } })
    await byKinds.until(({ seen }) => seen().includes('change port port'))
    await one.portRemove({ params: { id: 'port' } })
    await one.subnetRemove({ params: { id: 'sub' } })
    await one.networkRemove({ params: { id: 'kept' } })
    for (const watcher of [byName, byId])
      await watcher.until(({ seen }) => seen().includes(`removed network ${kept.id}`))
    assert.ok(byKinds.seen().every((label) => !label.includes(' network ')))
    for (const watcher of [byName, byId])
      assert.deepEqual(
        new Set(watcher.seen()),
        new Set(['change network kept', `removed network ${kept.id}`]),
      )
  })

  await t.test(
    'a watch of another project hears nothing, neither live nor when it resumes',
    async (inner) => {
      const { revision } = await one.networkList()
      const live = watch(inner, bank.owner)
      const hostless = watch(inner, shop.owner, { kind: 'host' })
      await live.until(isSynced)
      const secret = await makeNamed(one, 'secret')
      await one.networkRemove({ params: { id: 'secret' } })
      await region.operator.hostInvite({ body: { name: 'hidden' } })
      const marker = await makeNamed(bank.member, 'marker')
      await live.until(({ seen }) => seen().includes('change network marker'))
      const resumed = watch(inner, bank.owner, { from: revision })
      await resumed.until(isSynced)
      for (const watcher of [live, resumed]) {
        assert.ok(watcher.seen().includes('change network marker'))
        const text = JSON.stringify(watcher.events)
        for (const hidden of [secret.id, shop.id, 'hidden', shop.name])
          assert.ok(!text.includes(hidden), `${hidden} is not for bank`)
      }
      assert.deepEqual(hostless.seen(), [])
      const viewer = watch(inner, bank.viewer, { kind: 'token' })
      await viewer.until(isSynced)
      assert.deepEqual(viewer.seen(), [], 'tokens are for owners')
      const owner = watch(inner, bank.owner, { kind: 'token' })
      await owner.until(isSynced)
      assert.equal(owner.seen().length, 3)
      assert.ok(!JSON.stringify(owner.events).includes('ecret'))
      await bank.member.networkRemove({ params: { id: marker.id } })
    },
  )

  await t.test(
    'resumed by revision on the other server it tells each change since, and what is gone',
    async (inner) => {
      const gone = await makeNamed(one, 'gone')
      await everywhere(region)
      const { revision } = await one.networkList()
      await makeNamed(one, 'later')
      await one.networkRemove({ params: { id: 'gone' } })
      const passing = await makeNamed(one, 'passing')
      await one.networkRemove({ params: { id: 'passing' } })
      await everywhere(region)
      const watcher = watch(inner, other, { from: revision, kind: 'network' })
      await watcher.until(isSynced)
      assert.deepEqual(
        new Set(watcher.seen()),
        new Set([
          'change network later',
          `removed network ${gone.id}`,
          `removed network ${passing.id}`,
        ]),
      )
      await makeNamed(one, 'live')
      await watcher.until(({ seen }) => seen().includes('change network live'))
    },
  )

  await t.test(
    'a server that is behind waits for the revision; one that never was is refused',
    async () => {
      const ahead = region.server(0).region.world.revision + 1
      const early = send(region.server(1).url, {
        path: `/v1/watch?from=${ahead + 1_000_000}`,
        token: shop.tokens.viewer,
      })
      const refused = await early
      assert.equal(refused.status, 410)
      assert.match(refused.text, /"RESYNC"/)
    },
  )

  await t.test(
    'a server that began after a revision says 410 RESYNC, and the client begins anew',
    async (inner) => {
      const doomed = await makeNamed(one, 'doomed')
      const { revision } = await one.networkList()
      const watcher = watch(inner, region.client(shop.tokens.member), { kind: 'network' })
      await watcher.until(isSynced)
      await one.networkRemove({ params: { id: 'doomed' } })
      await everywhere(region)
      const late = await region.startServer()
      for (const from of [0, revision - 1, revision]) {
        const reply = await send(late.url, {
          path: `/v1/watch?from=${from}`,
          token: shop.tokens.viewer,
        })
        assert.equal(reply.status, 410, `from ${from}`)
        assert.ok(typeof reply.json === 'object' && reply.json !== null && 'code' in reply.json)
        assert.equal(reply.json.code, 'RESYNC')
      }
      const anew = watch(inner, region.client(shop.tokens.member, [late]), {
        kind: 'network',
        from: revision,
      })
      await anew.until(isSynced)
      assert.ok(anew.seen().includes('change network later'))
      assert.ok(!anew.seen().some((label) => label.includes(doomed.id)))
      await late.stop()
    },
  )
})

test('a watch of sets tells each step, and the loss of the host too', async (t) => {
  const region = await TestRegion.open(t)
  const { member } = await makeProject(region, 'shop')
  await makeNetwork(member, 'net')
  await importRootfs(member, 'web')
  const host = await joinHost(region, { name: 'host-1' })
  const watcher = watch(t, member, { kind: ['set', 'operation'] })
  await watcher.until(isSynced)
  const states = (): string[] =>
    watcher.events.flatMap(({ kind, object }) =>
      kind === 'set' && typeof object === 'object' && object !== null && 'state' in object
        ? [String(object.state)]
        : [],
    )
  await done(member, await member.setCreate({ body: setOf('web') }))
  await watcher.until(() => states().includes('running'))
  assert.equal(states()[0], 'pending')
  await host.simulated.crash()
  await watcher.until(() => states().at(-1) === 'unknown')
  host.simulated.start()
  await watcher.until(() => states().at(-1) === 'running')
})

test('a reader that takes nothing is cut off, and nobody else notices', async (t) => {
  const region = await TestRegion.open(t, { limits: { stalledReaderMs: 300 } })
  const { operator } = region
  await makeNetwork(operator, 'net')
  await importRootfs(operator, 'web')
  await joinHost(region, { name: 'host-1' })
  const containers = Array.from({ length: 16 }, (_, at) => ({
    name: `${'c'.repeat(60)}-${at}`,
    image: 'web',
  }))
  const SETS = 30
  for (let at = 0; at < SETS; at++)
    await operator.setCreate({ body: { ...setOf(`web-${at}`), containers } })
  const { hostname, port } = new URL(region.server(0).url)
  const stalled = connect(Number(port), hostname)
  let isCut = false
  stalled.on('error', () => (isCut = true))
  stalled.on('close', () => (isCut = true))
  stalled.pause()
  stalled.write(
    `GET /v1/watch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${region.operatorToken}\r\n\r\n`,
  )
  const reader = watch(t, region.via(0), { kind: 'network' })
  await reader.until(isSynced)
  // Each change of the host alters every set on it.
  await waitUntil(
    async () => {
      await operator.hostCordon({ params: { id: 'host-1' } })
      await operator.hostUncordon({ params: { id: 'host-1' } })
      // Only by writing does a reader that does not read learn of the end.
      if (!isCut) stalled.write('\r\n')
      return isCut
    },
    (cut) => cut,
    { what: 'the stalled reader is cut off', timeoutMs: 30_000 },
  )
  stalled.destroy()
  await makeNamed(operator, 'after')
  await reader.until(({ seen }) => seen().includes('change network after'))
})
