// Proves that a database which accepts connections but answers nothing is waited for only so long, and that a lock which
// somebody holds costs who waits for it no connections.
import assert from 'node:assert/strict'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { sql } from 'kysely'
import { openTestDatabase } from '../../tests/support/database.ts'
import { silentLog } from '../process/log.ts'
import { systemClock } from '../process/system.ts'
import { isDatabaseUnavailable, openDatabase } from './database.ts'

/** A way to the database that can be frozen: connections stay, and nothing passes. */
async function openProxy(context: TestContext, url: string) {
  const target = new URL(url)
  const socketPath = join(decodeURIComponent(target.hostname), `.s.PGSQL.${target.port}`)
  const sockets = new Set<Socket>()
  let isFrozen = false
  const server = createServer((near) => {
    const far = connect(socketPath)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk) => {
        if (!isFrozen) to.write(chunk)
      })
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  context.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo // proof: it listens on TCP
  return {
    url: `postgresql://${target.username}@127.0.0.1:${port}${target.pathname}`,
    freeze: () => {
      isFrozen = true
    },
    thaw: () => {
      isFrozen = false
    },
  }
}

test('statements and transactions on a frozen database fail in time, and work again afterwards', async (context) => {
  const { url } = await openTestDatabase(context)
  const proxy = await openProxy(context, url)
  const database = openDatabase<Record<never, never>>({
    url: proxy.url,
    clock: systemClock,
    log: silentLog,
    statementTimeoutMs: 300,
  })
  context.after(() => database.close())
  const ask = () => sql`select 1`.execute(database.query)
  await Promise.all([ask(), ask()])
  proxy.freeze()
  await Promise.all([
    assert.rejects(ask(), isDatabaseUnavailable),
    assert.rejects(
      database.query.transaction().execute((tx) => sql`select 1`.execute(tx)),
      isDatabaseUnavailable,
    ),
  ])
  proxy.thaw()
  for (let attempt = 0; ; attempt++) {
    const isBack = await ask().then(
      () => true,
      () => false,
    )
    if (isBack) break
    assert.ok(attempt < 3, 'it does not come back')
  }
  const held = await database.tryLead(1)
  assert.ok(held !== undefined)
  await held.release()
})

test('a lock that another process holds is looked at without new connections, and taken once it is free', async (context) => {
  const { url } = await openTestDatabase(context)
  const open = () => openDatabase<Record<never, never>>({ url, clock: systemClock, log: silentLog })
  const [leader, follower] = [open(), open()]
  context.after(() => Promise.all([leader.close(), follower.close()]))
  await follower.listen('any', () => undefined)
  const held = await leader.tryLead(1)
  assert.ok(held !== undefined)
  const countSessions = async (): Promise<number> => {
    const { rows } = await sql<{ count: number }>`
      select sessions::int8 as count from pg_stat_database where datname = current_database()
    `.execute(leader.query)
    return rows[0]?.count ?? assert.fail('the database counts no sessions')
  }

  const before = await countSessions()
  for (let attempt = 0; attempt < 20; attempt++) assert.equal(await follower.tryLead(1), undefined)
  assert.equal(await follower.tryLead(1, { shared: true }), undefined)
  // Counted late by the database, so that sessions of before may be among them.
  const more = (await countSessions()) - before
  assert.ok(more < 5, `21 looks took ${more} connections`)

  await held.release()
  const taken = await follower.tryLead(1)
  assert.ok(taken !== undefined)
  assert.equal(await leader.tryLead(1), undefined, 'also where nothing listens')
  await taken.release()
  const together = [
    await leader.tryLead(2, { shared: true }),
    await follower.tryLead(2, { shared: true }),
  ]
  assert.equal(await follower.tryLead(2), undefined)
  for (const one of together) {
    assert.ok(one !== undefined)
    await one.release()
  }
})
