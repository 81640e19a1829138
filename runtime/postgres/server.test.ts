/** Proves on a real PostgreSQL that it starts, keeps what was committed, and comes back from every kind of death. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import pg from 'pg'
import { findProcess, start, type RunningProgram } from '../process/programs.ts'
import { PostgresServer } from './server.ts'

const base = mkdtempSync(join(tmpdir(), 'npg-'))
chmodSync(base, 0o711)
const running = new Set<PostgresServer>()
after(async () => {
  for (const server of running) await server.stop()
  rmSync(base, { recursive: true, force: true })
})

function makeServer(name: string): PostgresServer {
  const server = new PostgresServer({
    folder: join(base, name),
    runFolder: join(base, `${name}-run`),
    logFile: join(base, `${name}.log`),
    sharedBuffersMib: 16,
  })
  running.add(server)
  return server
}

async function query(server: PostgresServer, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail('it should have failed'),
    (thrown: unknown) => thrown,
  )
  assert.ok(isPlatformError(error, 'SETUP_FAILED'), String(error))
  return error.message
}

describe('PostgresServer', () => {
  const server = makeServer('main')

  it('makes a cluster, answers on its socket, and runs neither as root nor on a network port', async () => {
    await server.start()
    assert.deepEqual(
      await query(server, 'select current_user::text as who, current_database()::text as db'),
      [{ who: 'nubo', db: 'nubo' }],
    )
    assert.deepEqual(await query(server, 'show fsync'), [{ fsync: 'on' }])
    assert.deepEqual(await query(server, 'show listen_addresses'), [{ listen_addresses: '' }])
    const status = readFileSync(`/proc/${server.pid}/status`, 'utf8')
    assert.doesNotMatch(status, /^Uid:\s+0\s/m)
  })

  it('refuses to be started twice', async () => {
    await assert.rejects(server.start(), /runs already/)
  })

  it('keeps what was committed over kill -9 of the postmaster, and comes back at once', async () => {
    await query(
      server,
      'create table kept (n int); insert into kept select generate_series(1, 100)',
    )
    process.kill(server.pid ?? 0, 'SIGKILL')
    assert.deepEqual(await server.exited, { code: null, signal: 'SIGKILL' })
    await server.start()
    assert.deepEqual(await query(server, 'select count(*)::int as n from kept'), [{ n: 100 }])
  })

  it('ends an orphan that runs on its folder before it starts its own', async () => {
    const orphanPid = server.pid ?? 0
    const second = makeServer('main') // a new owner, as after the death of the supervisor
    await second.start()
    assert.equal(findProcess(orphanPid), undefined)
    assert.deepEqual(await query(second, 'select count(*)::int as n from kept'), [{ n: 100 }])
    await second.stop()
    assert.equal(second.pid === undefined ? undefined : findProcess(second.pid), undefined)
  })

  it('is not stopped by a pid file that names another living process, nor harms that process', async () => {
    const bystander: RunningProgram = start({ argv: ['sleep', '60'] })
    writeFileSync(join(base, 'main', 'data', 'postmaster.pid'), `${bystander.pid}\n`)
    writeFileSync(join(base, 'main-run', '.s.PGSQL.5432.lock'), `${bystander.pid}\n`)
    await server.start()
    assert.equal(findProcess(bystander.pid)?.pid, bystander.pid)
    await bystander.stop()
    await server.stop()
  })

  it('makes the cluster anew when the first making was interrupted', async () => {
    const interrupted = makeServer('cut')
    await interrupted.start()
    await interrupted.stop()
    rmSync(join(base, 'cut', 'data', 'PG_VERSION'))
    // What an interrupted initdb leaves has the name of the folder aside.
    renameSync(join(base, 'cut', 'data'), join(base, 'cut', 'data.new'))
    await interrupted.start()
    assert.ok(existsSync(join(base, 'cut', 'data', 'PG_VERSION')))
    await interrupted.stop()
  })

  it('says what is wrong and what to do next', async () => {
    const noPrograms = new PostgresServer({
      folder: join(base, 'x'),
      runFolder: join(base, 'x-run'),
      logFile: join(base, 'x.log'),
      binaries: join(base, 'nowhere'),
    })
    assert.match(await refusal(noPrograms.start()), /not installed/)
    const longPath = new PostgresServer({
      folder: join(base, 'x'),
      runFolder: join(base, 'x'.repeat(100)),
      logFile: join(base, 'x.log'),
    })
    assert.match(await refusal(longPath.start()), /path of its socket is too long/)
    writeFileSync(join(base, 'main', 'data', 'PG_VERSION'), '9\n')
    assert.match(await refusal(server.start()), /its folder is of version 9/)
    writeFileSync(join(base, 'main', 'data', 'PG_VERSION'), '15\n')
  })

  it('tells the last words of a server that ends at once', async () => {
    rmSync(join(base, 'main', 'data', 'global', 'pg_control'))
    assert.match(await refusal(server.start()), /ended at once: .*pg_control/)
    assert.equal(findProcess(server.pid ?? 0), undefined)
  })
})
