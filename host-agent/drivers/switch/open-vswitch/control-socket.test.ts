import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

import { systemTimers } from '@nubo/wire-ovsdb'

import { withDefaults } from './config.ts'
import { ControlSocket } from './control-socket.ts'

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'nsw-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Answers every command with this text. */
async function listen(t: TestContext, path: string, answer: string | null): Promise<void> {
  const server: Server = createServer((socket) => {
    socket.on('data', () => {
      const error = answer === null ? 'no such command' : null
      socket.write(JSON.stringify({ id: 1, result: answer, error }))
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => void server.close())
}

function socketIn(runDir: string, controlSocket?: string): ControlSocket {
  const config = withDefaults({
    ovsdbSocket: '/run/db.sock',
    runDir,
    datapathType: 'netdev',
    vtepAddress: '192.168.77.1',
    ...(controlSocket === undefined ? {} : { controlSocket }),
  })
  return new ControlSocket(config, systemTimers)
}

test('the socket of the running switch is found beside those that killed ones left', async (t) => {
  const folder = await makeFolder(t)
  for (const name of ['ovs-vswitchd.11.ctl', 'ovs-vswitchd-dpdk.12.ctl', 'ovsdb-server.ctl']) {
    await writeFile(join(folder, name), '')
  }
  await listen(t, join(folder, 'ovs-vswitchd-dpdk.13.ctl'), 'third')
  assert.equal(await socketIn(folder).call('version'), 'third', 'without a pid file, by trying')
  await listen(t, join(folder, 'ovs-vswitchd.ctl'), 'fixed')
  assert.equal(await socketIn(folder).call('version'), 'fixed', 'a name without pid goes first')
  await writeFile(join(folder, 'ovs-vswitchd.pid'), '13\n')
  assert.equal(await socketIn(folder).call('version'), 'third', 'but the pid file decides')
})

test('a configured socket is the only one that is asked', async (t) => {
  const folder = await makeFolder(t)
  await listen(t, join(folder, 'ovs-vswitchd.ctl'), 'wrong')
  await listen(t, join(folder, 'mine'), 'mine')
  assert.equal(await socketIn(folder, join(folder, 'mine')).call('version'), 'mine')
})

test('nobody there, and a refused command, are told apart', async (t) => {
  const folder = await makeFolder(t)
  await assert.rejects(socketIn(folder).call('version'), { problem: 'unreachable' })
  await assert.rejects(socketIn(join(folder, 'none')).call('version'), { problem: 'unreachable' })
  await listen(t, join(folder, 'ovs-vswitchd.ctl'), null)
  await assert.rejects(socketIn(folder).call('nonsense'), { problem: 'invalid' })
})
