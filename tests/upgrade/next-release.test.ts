// Proves that servers of this release go on working while the next one upgrades their database and writes into it, with
// a release that does not exist yet: a planted migration and rows of a kind that nobody here knows.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '@nubo/base'
import { migrate, systemClock, systemRandom } from '@nubo/runtime'
import { sql } from 'kysely'
import { joinHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
  waitSet,
  type TestProject,
} from '../support/project.ts'
import { TestRegion } from '../support/region.ts'
import { startServerProcess } from '../support/server-process.ts'
import { SetStates } from '../support/set-states.ts'
import { waitUntil } from '../support/wait.ts'
import { additive, breaking, migrations, writeAsNext } from './next-release.ts'

async function shopOf(region: TestRegion): Promise<TestProject> {
  const shop = await makeProject(region, 'shop')
  await makeNetwork(shop.member, 'net')
  await importRootfs(shop.member, 'web')
  await joinHost(region, { name: 'host-1', server: 0 })
  await joinHost(region, { name: 'host-2', server: 1 })
  return shop
}

test('the next release migrates under two running servers and writes rows of a new kind: creates, watches and removals go on, and nothing of it is lost', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await shopOf(region)
  const states = new SetStates(t, shop.member)
  await states.synced
  const first = await shop.member.setCreate({ body: setOf('web-1') })
  await done(shop.member, first)

  // Creates before, during and after the migration, on both servers.
  const migrated = Promise.withResolvers<void>()
  const creates = (async () => {
    const made: string[] = []
    for (let at = 0, left = 3; left > 0; at++) {
      const name = `load-${at}`
      const client = region.client(shop.tokens.member, [region.server(at % 2)])
      made.push((await done(client, await client.setCreate({ body: setOf(name) }))).resource.name)
      if (await isSettled(migrated.promise)) left--
    }
    return made
  })()
  const { database } = region.server(0)
  assert.deepEqual(await migrate(database.query, [...migrations, additive]), [additive.name])
  migrated.resolve()
  const loaded = await creates

  const tomorrowId: string = newId<'tomorrow'>(systemClock, systemRandom)
  const setId = first.resource.id
  const revision = await writeAsNext(
    database,
    [
      { kind: 'tomorrow', table: 'tomorrow', id: tomorrowId },
      { kind: 'set', table: 'set', id: setId },
    ],
    async (tx) => {
      await sql`insert into tomorrow (id, project_id, name, set_id)
        values (${tomorrowId}, ${shop.id}, 'disk', ${setId})`.execute(tx)
      await sql`update set set labels = '{"by":"next"}', tomorrow_rank = 1 where id = ${setId}`.execute(
        tx,
      )
    },
  )
  await everywhere(region, revision)
  for (const server of region.servers) {
    const client = region.client(shop.tokens.member, [server])
    const set = await client.setShow({ params: { id: 'web-1' }, query: {} })
    assert.deepEqual(set.labels, { by: 'next' }, 'what this release knows of that revision counts')
  }

  // What only the next release knows survives changes by this one.
  await done(shop.member, await shop.member.setRestart({ params: { id: 'web-1' } }))
  const { rows } = await sql<{ one: number }>`
    select tomorrow_rank as one from set where id = ${setId}`.execute(database.query)
  assert.deepEqual(rows, [{ one: 1 }])

  // A server that fell behind reads the tables again, and so does one that starts.
  await sql`delete from feed where revision <= ${revision}`.execute(database.query)
  const started = await startServerProcess(region, 2)
  const late = region.client(shop.tokens.member, [{ ...region.server(0), url: started.url }])
  const listed = await late.setList()
  assert.deepEqual(listed.items.map(({ name }) => name).toSorted(), ['web-1', ...loaded].toSorted())
  for (const name of loaded) await done(late, await late.setRemove({ params: { id: name } }))
  await waitUntil(
    () => shop.member.setList(),
    ({ items }) => items.length === 1,
    { what: 'the sets are gone' },
  )
  await waitSet(shop.member, 'web-1', ({ state }) => state === 'running')
  assert.ok(states.of(setId).includes('running'))
})

test('a server does not start on a database whose newest migration is for newer servers only, and says what to do; those that run are not touched', async (t) => {
  const region = await TestRegion.open(t)
  const { database } = region.server(0)
  await migrate(database.query, [...migrations, additive, breaking])
  await assert.rejects(startServerProcess(region, 2), (error: Error) => {
    assert.match(error.message, /SCHEMA_MISMATCH/)
    assert.match(error.message, new RegExp(breaking.name))
    assert.match(error.message, /start the newer version, or restore the backup/)
    return true
  })
  await region.operator.projectCreate({ body: { name: 'still-here' } })
})

async function isSettled(promise: Promise<void>): Promise<boolean> {
  const open = Symbol('open')
  return (await Promise.race([promise, Promise.resolve(open)])) !== open
}
