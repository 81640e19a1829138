import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { PlatformError } from '@nubo/base'
import { sampleToken, startContractServer, type ContractServer } from '@nubo/client/testing'
import { runCommand } from '../run.ts'
import { fakeTerminal } from '../testing/terminal.ts'

const homeFolder = mkdtempSync(join(tmpdir(), 'nubo-login-'))
let server: ContractServer
before(async () => {
  server = await startContractServer({
    handlers: {
      whoAmI: ({ token }) => {
        if (token !== 'secret') throw new PlatformError('UNAUTHENTICATED')
        const region = { region: 'region-1', serverName: 'server-1', version: '0.1.0' }
        return { token: sampleToken, project: null, ...region }
      },
    },
  })
})
after(async () => {
  await server.close()
  rmSync(homeFolder, { recursive: true })
})

function login(keys: string): { done: Promise<number>; terminal: ReturnType<typeof fakeTerminal> } {
  const terminal = fakeTerminal({ argv: ['login', '--server', server.url], homeFolder })
  const done = runCommand(terminal.surroundings)
  terminal.type(keys)
  return { done, terminal }
}

test('on a terminal the token is asked for and not shown; mistakes can be taken back', async () => {
  const { done, terminal } = login('secrex\u007ft\r')
  assert.equal(await done, 0)
  assert.doesNotMatch(terminal.printed.stdout + terminal.printed.stderr, /secre/)
  assert.deepEqual(terminal.rawModes, [true, false])
  assert.match(terminal.printed.stdout, /project +none: name one with --project/)
  const saved = readFileSync(join(homeFolder, '.config', 'nubo', 'login.json'), 'utf8')
  assert.deepEqual(JSON.parse(saved), { servers: [server.url], token: 'secret' })
})

test('^C, an empty token and one that no token can be are usage errors', async () => {
  for (const keys of ['sec\u0003', '\r', 'a b\r', 'ü\r']) {
    const { done, terminal } = login(keys)
    assert.equal(await done, 2)
    assert.equal(terminal.rawModes.at(-1), false)
  }
})
