// Proves that where a world is behind the tables, the tables decide, and the error says what is so.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { newId, isPlatformError, type Random } from '@nubo/base'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'
import { openTestDatabase } from '../../../tests/support/database.ts'
import {
  change,
  hostRow,
  networkRow,
  newHostRow,
  portRow,
  put,
  subnetRow,
  tokenRow,
} from '../../host-sessions/testing/rows.ts'
import { commit, createRecorder, FeedReader, World, type Tables } from '../../world/index.ts'
import { createNetworkService } from './service.ts'
import { deletePorts, insertNetwork, insertPorts, insertSubnet } from './store.ts'

const { id: tokenId, projectId } = tokenRow()
const caller = {
  tokenId,
  tokenName: 'dev',
  accountId: null,
  role: 'operator' as const,
  project: projectId ?? undefined,
}

async function openNetwork(context: TestContext, random: Random = systemRandom) {
  const { database } = await openTestDatabase<Tables>(context)
  const world = new World(systemClock)
  const deps = { database, clock: systemClock, log: silentLog, world }
  await commit(deps, async (tx, touched) => {
    await tx.insertInto('host').values(newHostRow(2)).execute()
    touched.touch('host', hostRow(2).id)
    const accountId = newId<'account'>(systemClock, systemRandom)
    await tx.insertInto('account').values({ id: accountId, name: 'a', createdAtMs: 1 }).execute()
    const id = networkRow(1).projectId
    await tx.insertInto('project').values({ id, accountId, name: 'p', createdAtMs: 1 }).execute()
    await insertNetwork(tx, touched, networkRow(1))
    await insertSubnet(tx, touched, subnetRow(1))
    const ports = [2, 3].map((n) => ({ port: portRow(n), address: `10.9.1.${n}` }))
    await insertPorts(
      tx,
      ports.map((asked) => ({ touched, asked })),
      1,
    )
  })
  const feed = new FeedReader(deps)
  context.after(() => feed.stop())
  await feed.start()
  const recorder = createRecorder({ ...deps, feed })
  const service = createNetworkService({ ...deps, recorder, random })
  return { world, service, recorder }
}

test('binding a port to a host that was removed a moment ago says that there is no such host', async (t) => {
  const { world, service } = await openNetwork(t)
  change(world, put('host', hostRow(1)))
  await assert.rejects(
    service.bindPortToInterface(caller, 'port-2', { host: 'h1', interfaceName: 'tap0' }),
    (error) => isPlatformError(error, 'NOT_FOUND') && error.details['kind'] === 'host',
  )
})

test('of two networks that draw one identifier at once, one draws again', async (t) => {
  const draws = [0.5, 0.5, 0.25]
  const { service } = await openNetwork(t, {
    ...systemRandom,
    fraction: () => draws.shift() ?? 0.75,
  })
  const made = await Promise.all(
    ['one', 'two'].map((name) => service.createNetwork(caller, { name, cidr: '10.0.0.0/16' })),
  )
  assert.equal(new Set(made.map(({ vni }) => vni)).size, 2)
})

test('of two ports that are bound to one interface at once, one is', async (t) => {
  const { service } = await openNetwork(t)
  const to = { host: 'h2', interfaceName: 'tap0' }
  const outcomes = await Promise.allSettled(
    ['port-2', 'port-3'].map((port) => service.bindPortToInterface(caller, port, to)),
  )
  assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  const refused = outcomes.find((outcome) => outcome.status === 'rejected')
  assert.ok(isPlatformError(refused?.reason, 'IN_USE'))
  const other = { ...to, interfaceName: 'tap1' }
  const free = outcomes[0]?.status === 'rejected' ? 'port-2' : 'port-3'
  assert.equal((await service.bindPortToInterface(caller, free, other)).interfaceName, 'tap1')
})

test('a range that was freed a moment ago can be taken by another subnet', async (t) => {
  const { world, service } = await openNetwork(t)
  change(world, put('subnet', subnetRow(2)))
  const made = await service.createSubnet(caller, {
    network: 'network-1',
    name: 'again',
    cidr: subnetRow(2).cidr,
  })
  assert.equal(made.cidr, subnetRow(2).cidr)
})

test('an address that the disk of a lost host may still use is given again only when the host is clean or forgotten', async (t) => {
  const LONG_AFTER_MS = 10 ** 9
  for (const end of ['clean', 'forgotten'] as const) {
    await t.test(end, async (context) => {
      const { recorder } = await openNetwork(context)
      const heldBy = hostRow(2).id
      const again = () =>
        recorder.write((tx, touched) =>
          insertPorts(
            tx,
            [
              {
                touched,
                asked: { port: { ...portRow(4), mac: portRow(2).mac }, address: '10.9.1.2' },
              },
            ],
            LONG_AFTER_MS,
          ),
        )
      const isTaken = (error: unknown): boolean => isPlatformError(error, 'ADDRESS_TAKEN')
      await recorder.write(async (tx, touched) => {
        await tx.updateTable('host').set({ mustClean: true }).execute()
        await deletePorts(tx, touched, { ports: [portRow(2)], nowMs: 1, heldBy })
      })
      await assert.rejects(again(), isTaken)
      // What comes to rest takes away what has rested; this has not.
      await recorder.write((tx, touched) =>
        deletePorts(tx, touched, { ports: [portRow(3)], nowMs: LONG_AFTER_MS }),
      )
      await assert.rejects(again(), isTaken)
      await recorder.write(async (tx) => {
        if (end === 'forgotten') await tx.deleteFrom('host').execute()
        else await tx.updateTable('host').set({ mustClean: false }).execute()
      })
      assert.equal((await again())[0]?.address, '10.9.1.2')
    })
  }
})
