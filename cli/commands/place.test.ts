// Proves what `place --dry-run` and its likes ask, print and end with; nothing is created by any of them.
import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { startContractServer, type ContractServer, type Handlers } from '@nubo/client/testing'
import type { PlacementAnswer, SetCreate } from '@nubo/contracts'
import { makeHome, runCli, type Finished } from '../testing/child.ts'

const home = makeHome()
const file = join(home, 'set.json')
let server: ContractServer
let asked: SetCreate | undefined

const first = { host: 'host-1', zone: 'z1', rack: 'r1', score: -12.5, reason: null }
const second = { host: 'host-2', zone: 'z1', rack: 'r2', score: null, reason: 'it is cordoned' }
const counts = [{ reason: 'it is cordoned', hosts: 1 }]

/** Two pages of one host each; nowhere for a set called `large`. */
function answer(name: string, cursor: unknown): PlacementAnswer {
  const items = name === 'large' ? [second] : cursor === undefined ? [first] : [second]
  const reason = { code: 'NOT_PLACED', text: 'no host can take it (host-2: it is cordoned).' }
  const found = { host: 'host-1', score: -12.5, reason: null }
  return {
    ...(name === 'large' ? { host: null, score: null, reason } : found),
    counts,
    items,
    revision: 5,
    cursor: items[0] === first ? 'host-1' : null,
  }
}

const handlers: Handlers = {
  placeDryRun: ({ body, query }) => {
    asked = body as SetCreate // proof: the server parsed it with the schema of SetCreate
    return answer(asked.name, query['cursor'])
  },
  setPlacement: ({ params, query }) => answer(String(params['id']), query['cursor']),
}

before(async () => {
  server = await startContractServer({ handlers })
})
after(async () => {
  await server.close()
  rmSync(home, { recursive: true })
})

function nubo(...args: string[]): Promise<Finished> {
  return runCli(home, args, { env: { NUBO_SERVERS: server.url, NUBO_TOKEN: 'secret' } })
}

function writeSet(name: string): void {
  const containers = [{ name: 'main', image: 'web' }]
  writeFileSync(file, JSON.stringify({ name, network: 'net', containers }))
}

test('where a set of a file would go, with every page of hosts', async () => {
  writeSet('web')
  const found = await nubo('place', '--dry-run', '-f', file)
  assert.equal(found.code, 0, found.stderr)
  assert.match(found.stdout, /^set web would be placed on host-1 \(score -12.5\)\n/)
  assert.match(found.stdout, /host-1 +z1 +r1 +-12.5/)
  assert.match(found.stdout, /host-2 +z1 +r2 .*it is cordoned/)
  const json = await nubo('place', '--dry-run', '-f', file, '-o', 'json')
  const { items, cursor } = JSON.parse(json.stdout) as PlacementAnswer
  assert.deepEqual([items, cursor], [[first, second], null])
  assert.equal((await nubo('set', 'show', 'web', '--hosts')).stdout.split('\n').length, 6)
})

test('nowhere: the reason, and exit code 3', async () => {
  writeSet('large')
  const nowhere = await nubo('place', '--dry-run', '-f', file)
  assert.equal(nowhere.code, 3)
  assert.match(nowhere.stdout, /^set large could not be placed: no host can take it \(host-2/)
})

test('`set run --dry-run` asks with all its options; `place` alone says what it is for', async () => {
  const run = 'set run web --image web --network net --dry-run --priority 900 --anti-affinity rack'
  const found = await nubo(...run.split(' '))
  assert.equal(found.code, 0, found.stderr)
  assert.equal(asked?.priority, 900)
  assert.equal(asked?.placement.antiAffinity, 'rack')
  assert.ok(server.received.every(({ path }) => /placement|\/v1\/place/.test(path)))
  const alone = await nubo('place', '-f', file)
  assert.equal(alone.code, 2)
  assert.match(alone.stderr, /--dry-run/)
})
